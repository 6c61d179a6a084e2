import type { Probe, Ran, RunOptions } from "../src/core/probe";

type Runner = (command: string, args: readonly string[], options?: RunOptions) => Ran;

/** A system of `files` that may be executed; `run` answers for programs. */
export function fakeProbe(files: string[], run: Runner = () => ({ code: 1, stdout: "", stderr: "" })): Probe & { ran: string[] } {
  const there = new Set(files);
  const ran: string[] = [];
  return {
    windows: false,
    ran,
    executable: (path) => Promise.resolve(there.has(path)),
    run: (command, args, options) => {
      ran.push([command, ...args].join(" "));
      return Promise.resolve(run(command, args, options));
    },
  };
}
