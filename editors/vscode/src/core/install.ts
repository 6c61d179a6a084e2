// Installing the server into a private environment. Pure but for the Probe.

import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { venvPython } from "./interpreter";
import type { Probe, Ran } from "./probe";

export interface InstallPlan {
  /** A Python that the server supports. */
  python: string;
  /** Directory that holds the private environment; one that is there is replaced once the new one works. */
  home: string;
  /** What pip is asked for. */
  requirement: string;
  /** Further arguments to `pip install`. */
  pipArguments: readonly string[];
  /** Where the programs run. */
  neutral: string;
}

// An environment cannot be moved, so two directories take turns: the one with the mark is in use.
const SLOTS = ["a", "b"];
const MARK = "astral-installed";

/** The private environment in use under `home`; undefined when there is none. */
export async function privateEnvironment(home: string): Promise<string | undefined> {
  let found: { directory: string; time: number } | undefined;
  for (const slot of SLOTS) {
    const directory = join(home, slot);
    const time = await stat(join(directory, MARK)).then(({ mtimeMs }) => mtimeMs, () => undefined);
    if (time !== undefined && time >= (found?.time ?? 0)) found = { directory, time };
  }
  return found?.directory;
}

export interface Step {
  title: string;
  command: string;
  args: string[];
  timeoutMs: number;
}

export class InstallError extends Error {
  constructor(
    message: string,
    /** Everything that the failing program said, for the log. */
    readonly output: string,
  ) {
    super(message);
  }
}

const MINUTE = 60_000;

function steps(plan: InstallPlan, directory: string, windows: boolean): Step[] {
  const python = venvPython(directory, windows);
  const pip = ["-m", "pip", "--disable-pip-version-check", "--no-input"];
  return [
    {
      title: "creating a private environment",
      command: plan.python,
      args: ["-m", "venv", "--clear", directory],
      timeoutMs: 3 * MINUTE,
    },
    {
      title: `installing ${plan.requirement}`,
      command: python,
      args: [...pip, "install", ...plan.pipArguments, plan.requirement],
      timeoutMs: 60 * MINUTE,
    },
    {
      title: "checking the server",
      command: python,
      args: ["-c", "import astral_lsp.cli"],
      timeoutMs: MINUTE,
    },
  ];
}

/** Runs the plan. On failure or cancellation InstallError says why, and what was installed before still is. */
export async function install(
  plan: InstallPlan,
  probe: Probe,
  report: (title: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const old = await privateEnvironment(plan.home);
  const directory = SLOTS.map((slot) => join(plan.home, slot)).find((slot) => slot !== old) ?? plan.home;
  for (const step of steps(plan, directory, probe.windows)) {
    report(step.title);
    const ran = await probe.run(step.command, step.args, { cwd: plan.neutral, timeoutMs: step.timeoutMs, signal });
    if (ran.code === 0) continue;
    await rm(directory, { recursive: true, force: true });
    const why = signal.aborted ? "cancelled" : reason(ran);
    throw new InstallError(`${capitalise(step.title)} failed: ${why}`, `${ran.stdout}\n${ran.stderr}`.trim());
  }
  await writeFile(join(directory, MARK), `${plan.requirement}\n`);
  // a server that still runs from it may hold its files; the next installation clears them
  if (old) await rm(old, { recursive: true, force: true }).catch(() => undefined);
}

/** The one line of a program's complaint that a person should see. */
export function reason(ran: Ran): string {
  const output = `${ran.stdout}\n${ran.stderr}`;
  if (/ensurepip is not available|No module named '?ensurepip/.test(output)) {
    return "this Python cannot make environments; install its venv package (on Debian: python3-venv)";
  }
  if (/No module named '?venv/.test(output)) return "this Python has no venv module";
  const lines = output
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const error = lines.findLast((line) => /^(error|fatal)\b/i.test(line)) ?? lines.at(-1);
  return error?.replace(/^error:\s*/i, "") ?? `it ended with status ${ran.code ?? "unknown"}`;
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
