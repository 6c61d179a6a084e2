// The little of the operating system that discovery needs, behind an interface so that tests can replace it.

import { execFile } from "node:child_process";
import { access, constants, stat } from "node:fs/promises";

export interface Ran {
  /** Exit status; undefined when the program could not be started or was stopped. */
  code: number | undefined;
  stdout: string;
  stderr: string;
}

export interface Probe {
  readonly windows: boolean;
  /** Whether a file is there and may be executed. */
  executable(path: string): Promise<boolean>;
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Ran>;
}

export interface RunOptions {
  cwd?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export const system: Probe = {
  windows: process.platform === "win32",

  async executable(path) {
    try {
      if (!(await stat(path)).isFile()) return false;
      await access(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  },

  run(command, args, options = {}) {
    return new Promise((resolve) => {
      const settings = {
        cwd: options.cwd,
        timeout: options.timeoutMs ?? 10_000,
        signal: options.signal,
        windowsHide: true,
        maxBuffer: 16 * 1024 * 1024,
      };
      execFile(command, [...args], settings, (error, stdout, stderr) => {
        if (!error) return resolve({ code: 0, stdout, stderr });
        const code = typeof error.code === "number" ? error.code : undefined;
        resolve({ code, stdout, stderr: stderr || error.message });
      });
    });
  },
};
