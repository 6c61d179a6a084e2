// Installing the server into a private environment. Pure but for the Probe.

import { rm } from "node:fs/promises";
import { venvPython } from "./interpreter";
import type { Probe, Ran } from "./probe";

export interface InstallPlan {
  /** A Python that the server supports. */
  python: string;
  /** Directory of the private environment; an environment that is there is replaced. */
  directory: string;
  /** What pip is asked for. */
  requirement: string;
  /** Further arguments to `pip install`. */
  pipArguments: readonly string[];
  /** Where the programs run. */
  neutral: string;
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

export function steps(plan: InstallPlan, windows: boolean): Step[] {
  const python = venvPython(plan.directory, windows);
  const pip = ["-m", "pip", "--disable-pip-version-check", "--no-input"];
  return [
    {
      title: "creating a private environment",
      command: plan.python,
      args: ["-m", "venv", "--clear", plan.directory],
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

/** Runs the plan; on failure or cancellation nothing half-installed is left and InstallError says why. */
export async function install(
  plan: InstallPlan,
  probe: Probe,
  report: (title: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for (const step of steps(plan, probe.windows)) {
    report(step.title);
    const ran = await probe.run(step.command, step.args, { cwd: plan.neutral, timeoutMs: step.timeoutMs, signal });
    if (ran.code === 0) continue;
    await rm(plan.directory, { recursive: true, force: true });
    const why = signal.aborted ? "cancelled" : reason(ran);
    throw new InstallError(`${capitalise(step.title)} failed: ${why}`, `${ran.stdout}\n${ran.stderr}`.trim());
  }
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
