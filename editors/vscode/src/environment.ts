// The editor's facts that decide which Python and which server are used.

import { homedir } from "node:os";
import * as vscode from "vscode";
import { contributes } from "../package.json";
import { privateEnvironment } from "./core/install";
import { findInterpreter, type Interpreter } from "./core/interpreter";
import { locateServer, type ServerCommand } from "./core/locate";
import { system } from "./core/probe";
import { expand, forServer, isSet, serverKeys, type Json, type JsonObject } from "./core/settings";
import { activePython } from "./pythonExtension";

export const SECTION = "astral-lsp";

export interface Directories {
  /** Holds the private environment. */
  privateHome: string;
  /** Has no Python files in it, so that nothing of the workspace is imported by accident. */
  neutral: string;
}

export function directories(context: vscode.ExtensionContext): Directories {
  const storage = context.globalStorageUri;
  return {
    privateHome: vscode.Uri.joinPath(storage, "server").fsPath,
    neutral: vscode.Uri.joinPath(storage, "run").fsPath,
  };
}

function expanded(value: string, folder: vscode.WorkspaceFolder | undefined): string {
  return expand(value, { workspaceFolder: folder?.uri.fsPath, home: homedir(), env: process.env });
}

function searchPath(): string {
  return process.env["PATH"] ?? process.env["Path"] ?? "";
}

/** The interpreter for a folder; throws InterpreterError when the setting names none. */
export async function interpreterFor(folder: vscode.WorkspaceFolder | undefined): Promise<Interpreter | undefined> {
  const setting = vscode.workspace.getConfiguration(SECTION, folder?.uri).get("interpreter", "");
  const trusted = vscode.workspace.isTrusted;
  return findInterpreter(
    {
      setting: expanded(setting, folder),
      active: trusted && !setting ? await activePython(folder?.uri) : undefined,
      folder: folder?.uri.fsPath,
      trusted,
      searchPath: searchPath(),
    },
    system,
  );
}

/** The server to start; undefined when there is none; throws when a setting is wrong. */
export async function serverFor(
  folder: vscode.WorkspaceFolder | undefined,
  places: Directories,
): Promise<ServerCommand | undefined> {
  const setting = vscode.workspace.getConfiguration(SECTION, folder?.uri).get<string[]>("path", []);
  return locateServer(
    {
      setting: setting.map((part) => expanded(part, folder)),
      interpreter: setting.length > 0 ? undefined : await interpreterFor(folder),
      privateEnvironment: await privateEnvironment(places.privateHome),
      searchPath: searchPath(),
      neutral: places.neutral,
    },
    system,
  );
}

const PATHS = ["interpreter", "model.base", "model.adapter"];
const KEYS = serverKeys(
  contributes.configuration.flatMap(({ properties }) => Object.keys(properties)).map((key) => key.slice(SECTION.length + 1)),
);

/** What the server is told of one folder's settings. */
export async function serverSettings(scope: vscode.Uri | undefined): Promise<JsonObject> {
  const folder = scope ? vscode.workspace.getWorkspaceFolder(scope) : vscode.workspace.workspaceFolders?.[0];
  const configuration = vscode.workspace.getConfiguration(SECTION, scope ?? folder?.uri);
  const explicit = new Map<string, Json>();
  for (const key of KEYS) {
    const value = configuration.get<Json>(key);
    if (value === undefined || value === null || !isSet(configuration.inspect(key))) continue;
    explicit.set(key, PATHS.includes(key) && typeof value === "string" ? expanded(value, folder) : value);
  }
  return forServer(explicit, { trusted: vscode.workspace.isTrusted, interpreter: await quietly(folder) });
}

// A wrong interpreter setting was reported when the server was started.
async function quietly(folder: vscode.WorkspaceFolder | undefined): Promise<string | undefined> {
  try {
    return (await interpreterFor(folder))?.path;
  } catch {
    return undefined;
  }
}
