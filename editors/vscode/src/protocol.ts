// The server's own commands and what they answer (astral_lsp/server/commands.py), next to standard LSP.

import type { Range } from "vscode-languageclient/node";
import type { Domain, Verdict } from "./core/candidates";

export const COMMAND = {
  fillHole: "astral.fillHole",
  applyFill: "astral.applyFill",
  refineHole: "astral.refineHole",
  fillFunction: "astral.fillFunction",
  fillFile: "astral.fillFile",
  makeHole: "astral.makeHole",
  explainRejected: "astral.explainRejected",
  nextHole: "astral.nextHole",
  previousHole: "astral.previousHole",
  listHoles: "astral.listHoles",
  status: "astral.status",
  doctor: "astral.doctor",
  loadModel: "astral.loadModel",
  cancel: "astral.cancel",
} as const;

/** A hole of one version; opaque to the editor, which only sends it back. */
export type Target = Record<string, unknown>;

export interface FoundFill {
  text: string;
  reasons: string[];
  verified: boolean;
  verdicts: Record<Domain, Verdict>;
  /** The argument of `astral.applyFill`. */
  argument: Target;
}

/** The answer to `astral.fillHole` with `apply: false`. */
export interface Fills {
  version: number;
  range: Range;
  hole: { text: string; kind: string; hint: string };
  expectedType: string | null;
  engine: string;
  model: string;
  message: string;
  elapsedMs: Record<string, number>;
  /** Best first; refused ones last. */
  fills: FoundFill[];
}

export function isFills(value: unknown): value is Fills {
  return typeof value === "object" && value !== null && Array.isArray((value as { fills?: unknown }).fills);
}
