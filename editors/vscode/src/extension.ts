// Activation: puts the parts together.

import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import type { ServerStatus } from "./core/status";
import { Commands } from "./commands";
import { printDebugInformation } from "./debugInformation";
import { SECTION } from "./environment";
import { Explanations } from "./explanations";
import { installServer, offerInstall, removeServer } from "./installer";
import { FilledDocument } from "./preview";
import { onActivePythonChanged } from "./pythonExtension";
import { cancel, doctor, loadModel } from "./serverCommands";
import { Session } from "./session";
import { StatusBar } from "./status";

let session: Session | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Astral", { log: true });
  const trace = vscode.window.createOutputChannel("Astral Trace", { log: true });
  const filled = new FilledDocument();
  const explanations = new Explanations();
  const icons = vscode.Uri.joinPath(context.extensionUri, "media", "verdict");
  const commands: Commands = new Commands(() => current.ready(), filled, explanations, icons);
  const status = new StatusBar(() => current);
  const prepare = (client: LanguageClient): void => {
    status.update(undefined);
    commands.listen(client);
    client.onNotification("astral/status", (news: ServerStatus) => status.update(news));
  };
  const current: Session = new Session(context, log, trace, commands.middleware, prepare);
  session = current;
  context.subscriptions.push(log, trace, filled, explanations, status, current);
  context.subscriptions.push(current.onDidChange(() => status.draw()));
  context.subscriptions.push(current.onDidChange((state) => state === "failed" && tell(current)));

  const register = (name: string, run: () => unknown): void => {
    context.subscriptions.push(vscode.commands.registerCommand(`${SECTION}.${name}`, run));
  };
  register("restart", () => current.restart());
  register("showLogs", () => log.show());
  register("debugInformation", () => printDebugInformation(context, current, status));
  register("showMenu", () => showMenu(current));
  register("installServer", async () => {
    if (!(await installServer(current.places, log))) return;
    await current.restart();
  });
  register("removeServer", async () => {
    if (await removeServer(current.places, () => current.stop())) await current.restart();
  });
  register("doctor", () => withServer(current, doctor));
  register("loadModel", () => withServer(current, loadModel));
  register("cancel", () => withServer(current, cancel));
  commands.register(context);
  watch(context, current);

  // not awaited: VS Code runs no command of an extension that is still being activated, and tells nobody why
  void current.start().then(async () => {
    if (current.state === "missing") await offerInstall(context, log);
  });
}

export async function deactivate(): Promise<void> {
  await session?.stop();
}

async function withServer(current: Session, run: (client: LanguageClient) => Promise<void>): Promise<void> {
  const client = await current.ready();
  if (!client) return void vscode.window.showWarningMessage("The Astral server is not running.");
  try {
    await run(client);
  } catch (error) {
    void vscode.window.showErrorMessage(`Astral: ${error instanceof Error ? error.message : String(error)}`);
  }
}

// A server that cannot run says so once, with the way out.
function tell(current: Session): void {
  const logs = "Show Logs";
  const restart = "Restart Server";
  void vscode.window.showErrorMessage(`Astral: ${current.error}`, logs, restart).then((answer) => {
    if (answer === logs) void vscode.commands.executeCommand(`${SECTION}.showLogs`);
    if (answer === restart) void vscode.commands.executeCommand(`${SECTION}.restart`);
  });
}

function watch(context: vscode.ExtensionContext, current: Session): void {
  const refresh = (): void => void current.refresh();
  context.subscriptions.push(
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(SECTION)) refresh();
    }),
    // Trust changes which settings count and which programs may run.
    vscode.workspace.onDidGrantWorkspaceTrust(refresh),
  );
  void onActivePythonChanged(refresh).then((subscription) => {
    if (subscription) context.subscriptions.push(subscription);
  });
}

async function showMenu(current: Session): Promise<void> {
  const entry = (icon: string, label: string, command: string): vscode.QuickPickItem & { command: string } => ({
    label: `$(${icon}) ${label}`,
    command: `${SECTION}.${command}`,
  });
  const entries = [
    ...(current.state === "running" ? [entry("list-unordered", "List Holes in File", "listHoles"), entry("type-hierarchy-sub", "Refine Hole", "refineHole")] : []),
    entry("debug-restart", "Restart Server", "restart"),
    entry("output", "Show Logs", "showLogs"),
    ...(current.state === "missing" ? [entry("cloud-download", "Install Server into a Private Environment", "installServer")] : []),
    ...(vscode.workspace.isTrusted ? [] : [{ ...entry("shield", "Manage Workspace Trust", ""), command: "workbench.trust.manage" }]),
    { ...entry("gear", "Open Settings", ""), command: "workbench.action.openSettings" },
    ...(current.state === "running" ? [entry("pulse", "Check the Environment (Doctor)", "doctor")] : []),
    entry("bug", "Print Debug Information", "debugInformation"),
  ];
  const picked = await vscode.window.showQuickPick(entries, { title: "Astral", placeHolder: current.error });
  if (!picked) return;
  const args = picked.command === "workbench.action.openSettings" ? [`@ext:astral-lsp.astral-lsp`] : [];
  await vscode.commands.executeCommand(picked.command, ...args);
}
