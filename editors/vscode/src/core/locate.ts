// Which server to start, and how. Pure but for the Probe.

import type { Interpreter } from "./interpreter";
import { resolveCommand, venvPython, which } from "./interpreter";
import type { Probe } from "./probe";

export type ServerSource = "setting" | "interpreter" | "private" | "path";

export interface ServerCommand {
  command: string;
  args: string[];
  source: ServerSource;
  /** Version of the installed distribution, where it was asked. */
  version: string;
}

export interface ServerQuery {
  /** `astral-lsp.path`, variables expanded: a program and its arguments; [] when unset. */
  setting: readonly string[];
  interpreter: Interpreter | undefined;
  /** Directory of the private environment, where there is one. */
  privateEnvironment: string | undefined;
  searchPath: string;
  /** A directory with no Python files: `python -m` and `-c` put the working directory first on sys.path. */
  neutral: string;
}

export class ServerPathError extends Error {}

const MODULE = "astral_lsp.cli";

const ASK_VERSION = [
  "import importlib.util, importlib.metadata as m, sys",
  "sys.exit(3) if importlib.util.find_spec('astral_lsp') is None else None",
  "try: print(m.version('astral-lsp'))",
  "except m.PackageNotFoundError: print('source checkout')",
].join("\n");

/** The version of astral-lsp that an interpreter has; undefined when it has none or does not run. */
export async function installedVersion(python: string, neutral: string, probe: Probe): Promise<string | undefined> {
  const ran = await probe.run(python, ["-c", ASK_VERSION], { cwd: neutral });
  return ran.code === 0 ? ran.stdout.trim() : undefined;
}

/** The first of: setting, the interpreter that has it, the private environment, `astral-lsp` on PATH. */
export async function locateServer(query: ServerQuery, probe: Probe): Promise<ServerCommand | undefined> {
  const [program, ...rest] = query.setting;
  if (program) {
    const command = await resolveCommand(program, query.searchPath, probe);
    if (!command) throw new ServerPathError(`astral-lsp.path: there is no program at '${program}'.`);
    return { command, args: [...rest, "--stdio"], source: "setting", version: "" };
  }
  const pythons: [string | undefined, ServerSource][] = [
    [query.interpreter?.path, "interpreter"],
    [query.privateEnvironment && venvPython(query.privateEnvironment, probe.windows), "private"],
  ];
  for (const [python, source] of pythons) {
    if (!python || !(await probe.executable(python))) continue;
    const version = await installedVersion(python, query.neutral, probe);
    if (version !== undefined) return { command: python, args: ["-m", MODULE, "--stdio"], source, version };
  }
  const script = await which("astral-lsp", query.searchPath, probe);
  return script ? { command: script, args: ["--stdio"], source: "path", version: "" } : undefined;
}
