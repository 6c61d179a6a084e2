// The Python extension's active environment, when that extension is there. Nothing here is required.

import * as vscode from "vscode";
import { within } from "./core/limit";

// The part of its public API that is used here (ms-python.python, "environments").
interface Environments {
  getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
  resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
  readonly onDidChangeActiveEnvironmentPath: vscode.Event<{ path: string }>;
}

const ID = "ms-python.python";
const LIMIT_MS = 5_000;

async function environments(): Promise<Environments | undefined> {
  const extension = vscode.extensions.getExtension<{ environments?: Environments }>(ID);
  if (!extension) return undefined;
  if (extension.isActive) return extension.exports.environments;
  try {
    return (await within(extension.activate(), LIMIT_MS, "late"))?.environments;
  } catch {
    return undefined;
  }
}

/** Path of the active environment's Python for a folder. */
export async function activePython(folder: vscode.Uri | undefined): Promise<string | undefined> {
  const api = await environments();
  if (!api) return undefined;
  try {
    const resolved = await within(api.resolveEnvironment(api.getActiveEnvironmentPath(folder)), LIMIT_MS, "late");
    return resolved?.executable.uri?.fsPath;
  } catch {
    return undefined;
  }
}

/** Calls back when the person chooses another environment. */
export async function onActivePythonChanged(callback: () => void): Promise<vscode.Disposable | undefined> {
  return (await environments())?.onDidChangeActiveEnvironmentPath(callback);
}
