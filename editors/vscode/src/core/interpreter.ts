// Which Python the workspace uses. Pure but for the Probe.

import { delimiter, join, sep } from "node:path";
import type { Probe } from "./probe";

export type InterpreterSource = "setting" | "python-extension" | "workspace" | "path";

export interface Interpreter {
  path: string;
  source: InterpreterSource;
}

export interface InterpreterQuery {
  /** Value of `astral-lsp.interpreter`, variables expanded; "" when unset. */
  setting: string;
  /** The Python extension's active environment, when that extension is installed. */
  active: string | undefined;
  /** The workspace folder's file system path. */
  folder: string | undefined;
  /** An untrusted workspace's own virtual environment is never executed. */
  trusted: boolean;
  /** The PATH variable. */
  searchPath: string;
}

export class InterpreterError extends Error {}

/** Where a virtual environment keeps its Python. */
export function venvPython(directory: string, windows: boolean): string {
  return windows ? join(directory, "Scripts", "python.exe") : join(directory, "bin", "python");
}

/** The first of: setting, active environment, the folder's .venv or venv, PATH. A bad setting is an error, not skipped. */
export async function findInterpreter(query: InterpreterQuery, probe: Probe): Promise<Interpreter | undefined> {
  if (query.setting) {
    const path = await resolveCommand(query.setting, query.searchPath, probe);
    if (!path) throw new InterpreterError(`astral-lsp.interpreter: there is no program at '${query.setting}'.`);
    return { path, source: "setting" };
  }
  const inside = (path: string): boolean => query.folder !== undefined && path.startsWith(query.folder + sep);
  if (query.active && (query.trusted || !inside(query.active)) && (await probe.executable(query.active))) {
    return { path: query.active, source: "python-extension" };
  }
  if (query.folder && query.trusted) {
    for (const name of [".venv", "venv"]) {
      const path = venvPython(join(query.folder, name), probe.windows);
      if (await probe.executable(path)) return { path, source: "workspace" };
    }
  }
  for (const name of probe.windows ? ["python.exe", "py.exe"] : ["python3", "python"]) {
    const path = await which(name, query.searchPath, probe);
    if (path) return { path, source: "path" };
  }
  return undefined;
}

/** A bare name is looked up on PATH, anything else is a path. */
export async function resolveCommand(command: string, searchPath: string, probe: Probe): Promise<string | undefined> {
  if (!/[\\/]/.test(command)) return which(command, searchPath, probe);
  return (await probe.executable(command)) ? command : undefined;
}

/** `which`: the first executable of that name on the search path. */
export async function which(name: string, searchPath: string, probe: Probe): Promise<string | undefined> {
  const names = probe.windows && !/\.\w+$/.test(name) ? [`${name}.exe`, name] : [name];
  for (const directory of searchPath.split(delimiter)) {
    if (!directory) continue;
    for (const candidate of names) {
      const path = join(directory, candidate);
      if (await probe.executable(path)) return path;
    }
  }
  return undefined;
}

export interface PythonVersion {
  major: number;
  minor: number;
}

/** The version of an interpreter; undefined when it does not run. */
export async function pythonVersion(path: string, probe: Probe): Promise<PythonVersion | undefined> {
  const ran = await probe.run(path, ["-c", "import sys; print(*sys.version_info[:2])"]);
  const match = ran.code === 0 ? /^(\d+) (\d+)/.exec(ran.stdout.trim()) : null;
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined;
}

/** The server's own requirement (pyproject.toml: requires-python). */
export const SERVER_PYTHON = { min: 10, max: 14 } as const;

export function runsServer(version: PythonVersion | undefined): boolean {
  return version?.major === 3 && version.minor >= SERVER_PYTHON.min && version.minor <= SERVER_PYTHON.max;
}
