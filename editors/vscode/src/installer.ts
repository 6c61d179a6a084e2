// "Install Server into a Private Environment": asks, shows progress, can be cancelled, says what went wrong.

import { mkdir, rm } from "node:fs/promises";
import * as vscode from "vscode";
import { install, InstallError } from "./core/install";
import { pythonVersion, runsServer, SERVER_PYTHON, which } from "./core/interpreter";
import { system } from "./core/probe";
import { interpreterFor, SECTION, type Directories } from "./environment";

const INSTALL = "Install";
const LOGS = "Show Logs";
const DECLINED = "installDeclined";

/** The newest Python at hand that the server supports: the workspace's own, else one on PATH. */
async function pythonForServer(): Promise<string | undefined> {
  const candidates: string[] = [];
  const own = await interpreterFor(vscode.workspace.workspaceFolders?.[0]).catch(() => undefined);
  if (own) candidates.push(own.path);
  const versions = Array.from({ length: SERVER_PYTHON.max - SERVER_PYTHON.min + 1 }, (_, i) => SERVER_PYTHON.max - i);
  for (const name of ["python3", "python", ...versions.map((minor) => `python3.${minor}`)]) {
    const path = await which(name, process.env["PATH"] ?? process.env["Path"] ?? "", system);
    if (path) candidates.push(path);
  }
  for (const path of candidates) {
    if (runsServer(await pythonVersion(path, system))) return path;
  }
  return undefined;
}

/** Offers the installation once per workspace until it is declined. */
export async function offerInstall(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): Promise<void> {
  if (context.workspaceState.get(DECLINED, false)) return;
  const never = "Not in This Workspace";
  const question = "The Astral server is not installed in this Python environment. Install it into a private environment?";
  const answer = await vscode.window.showInformationMessage(question, INSTALL, never);
  if (answer === INSTALL) await vscode.commands.executeCommand(`${SECTION}.installServer`);
  if (answer === never) {
    await context.workspaceState.update(DECLINED, true);
    log.info("the installation was declined for this workspace");
  }
}

/** Returns whether the server is installed now. */
export async function installServer(places: Directories, log: vscode.LogOutputChannel): Promise<boolean> {
  const python = await pythonForServer();
  if (!python) {
    const wanted = `3.${SERVER_PYTHON.min} to 3.${SERVER_PYTHON.max}`;
    void vscode.window.showErrorMessage(`The Astral server needs Python ${wanted}, and none was found; set astral-lsp.interpreter.`);
    return false;
  }
  const settings = vscode.workspace.getConfiguration(`${SECTION}.install`);
  const plan = {
    python,
    home: places.privateHome,
    requirement: settings.get("requirement", "astral-lsp"),
    pipArguments: settings.get<string[]>("pipArguments", []),
    neutral: places.neutral,
  };
  await mkdir(places.neutral, { recursive: true });
  log.info(`installing ${plan.requirement} with ${python} into ${plan.home}`);
  const progress = { location: vscode.ProgressLocation.Notification, title: "Astral", cancellable: true };
  try {
    await vscode.window.withProgress(progress, (bar, token) => {
      const stop = new AbortController();
      token.onCancellationRequested(() => stop.abort());
      return install(plan, system, (message) => bar.report({ message }), stop.signal);
    });
    log.info("installed");
    return true;
  } catch (error) {
    await complain(error, log);
    return false;
  }
}

async function complain(error: unknown, log: vscode.LogOutputChannel): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  log.error(message);
  if (error instanceof InstallError && error.output) log.error(error.output);
  if (message.endsWith("failed: cancelled")) return;
  void vscode.window.showErrorMessage(`Astral: ${message}`, LOGS).then((answer) => {
    if (answer === LOGS) log.show();
  });
}

/** Deletes the private environment after asking; `stop` ends the server that may be running from it. */
export async function removeServer(places: Directories, stop: () => Promise<void>): Promise<boolean> {
  const remove = "Remove";
  const question = "Remove the private environment of the Astral server?";
  if ((await vscode.window.showWarningMessage(question, { modal: true }, remove)) !== remove) return false;
  await stop();
  await rm(places.privateHome, { recursive: true, force: true });
  return true;
}
