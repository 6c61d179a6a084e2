// What a bug report needs, as a text document that the person can read before sharing it.

import * as vscode from "vscode";
import { privateEnvironment } from "./core/install";
import { pythonVersion } from "./core/interpreter";
import { system } from "./core/probe";
import { interpreterFor, SECTION, serverSettings } from "./environment";
import type { Session } from "./session";
import type { StatusBar } from "./status";

async function interpreterLine(folder: vscode.WorkspaceFolder | undefined): Promise<string> {
  try {
    const found = await interpreterFor(folder);
    if (!found) return "none found";
    const version = await pythonVersion(found.path, system);
    const words = version ? `Python ${version.major}.${version.minor}` : "it does not run";
    return `${found.path} (from ${found.source}, ${words})`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export async function printDebugInformation(
  context: vscode.ExtensionContext,
  session: Session,
  status: StatusBar,
): Promise<void> {
  const extension = context.extension.packageJSON as { version: string };
  const server = session.server;
  const info = session.client?.initializeResult?.serverInfo;
  const folders = vscode.workspace.workspaceFolders ?? [];
  const lines = [
    "Astral debug information",
    "",
    `extension: ${extension.version}`,
    `VS Code: ${vscode.version} (${vscode.env.appHost}${vscode.env.remoteName ? `, ${vscode.env.remoteName}` : ""})`,
    `system: ${process.platform} ${process.arch}, Node ${process.versions.node}`,
    `workspace: ${folders.length} folder(s), ${vscode.workspace.isTrusted ? "trusted" : "not trusted"}`,
    `session: ${session.state}${session.error ? `: ${session.error}` : ""}`,
    `server: ${server ? [server.command, ...server.args].join(" ") : "none"}`,
    `server from: ${server ? server.source : "-"}`,
    `server says: ${info ? `${info.name} ${info.version ?? ""}` : "-"}`,
    `server process: ${session.client?.serverProcess?.pid ?? "-"}`,
    `private environment: ${(await privateEnvironment(session.places.privateHome)) ?? "none"}`,
    `last status: ${JSON.stringify(status.last ?? null)}`,
    "",
  ];
  for (const folder of folders.length > 0 ? folders : [undefined]) {
    lines.push(`folder ${folder?.name ?? "(none)"}`, `  interpreter: ${await interpreterLine(folder)}`);
    const settings = JSON.stringify(await serverSettings(folder?.uri), null, 2);
    lines.push(`  ${SECTION} settings as the server sees them:`, settings.replace(/^/gm, "    "), "");
  }
  const document = await vscode.workspace.openTextDocument({ content: lines.join("\n"), language: "plaintext" });
  await vscode.window.showTextDocument(document);
}
