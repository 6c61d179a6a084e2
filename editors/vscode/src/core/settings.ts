// What the server is told of the settings. Pure: no vscode import.

/** Settings of the extension itself, by their first part; the server does not know them. */
export const CLIENT_ONLY: readonly string[] = ["path", "install", "preview", "trace"];

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** One setting as `WorkspaceConfiguration.inspect` gives it: only values that somebody wrote. */
export interface Inspected {
  globalValue?: unknown;
  workspaceValue?: unknown;
  workspaceFolderValue?: unknown;
  globalLanguageValue?: unknown;
  workspaceLanguageValue?: unknown;
  workspaceFolderLanguageValue?: unknown;
}

/** What the editor knows better than a settings file. */
export interface EditorFacts {
  /** Whether the person has trusted this workspace (VS Code's workspace trust). */
  trusted: boolean;
  /** The interpreter found for this folder; undefined when none was. */
  interpreter: string | undefined;
}

/** Whether somebody set it. A default must not be sent: it would override the project's pyproject.toml. */
export function isSet(inspected: Inspected | undefined): boolean {
  return inspected !== undefined && written(inspected).some((value) => value !== undefined);
}

function written(inspected: Inspected): unknown[] {
  const { globalValue, workspaceValue, workspaceFolderValue } = inspected;
  const { globalLanguageValue, workspaceLanguageValue, workspaceFolderLanguageValue } = inspected;
  const plain = [globalValue, workspaceValue, workspaceFolderValue];
  return [...plain, globalLanguageValue, workspaceLanguageValue, workspaceFolderLanguageValue];
}

/** The server's settings among `keys` (dotted, without the section). */
export function serverKeys(keys: readonly string[]): string[] {
  return keys.filter((key) => !CLIENT_ONLY.includes(key.split(".")[0] ?? ""));
}

/** The answer to `workspace/configuration` for section `astral-lsp`: dotted keys become nested objects. */
export function forServer(explicit: ReadonlyMap<string, Json>, facts: EditorFacts): JsonObject {
  const settings: JsonObject = {};
  for (const [key, value] of explicit) put(settings, key.split("."), value);
  if (!settings["interpreter"] && facts.interpreter) settings["interpreter"] = facts.interpreter;
  settings["trusted"] = facts.trusted;
  return settings;
}

function put(table: JsonObject, path: string[], value: Json): void {
  const [head, ...rest] = path;
  if (head === undefined) return;
  if (rest.length === 0) {
    table[head] = value;
    return;
  }
  const inner = table[head];
  const next: JsonObject = isObject(inner) ? inner : {};
  table[head] = next;
  put(next, rest, value);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface Variables {
  workspaceFolder: string | undefined;
  home: string;
  env: NodeJS.ProcessEnv;
}

/** Replaces `${workspaceFolder}`, `${userHome}`, `${env:NAME}` and a leading `~`. */
export function expand(path: string, { workspaceFolder, home, env }: Variables): string {
  return path
    .replace(/^~(?=$|[\\/])/, () => home)
    .replace(/\$\{workspaceFolder\}/g, () => workspaceFolder ?? "")
    .replace(/\$\{userHome\}/g, () => home)
    .replace(/\$\{env:([^}]+)\}/g, (_, name: string) => env[name] ?? "");
}
