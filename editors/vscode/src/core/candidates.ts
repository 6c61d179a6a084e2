// A candidate fill in words: what the list shows of it. Pure.

export type Status = "passed" | "failed" | "not_run" | "unavailable";
export type Domain = "syntax" | "types" | "tests";

export interface Verdict {
  status: Status;
  /** One line for people. */
  detail?: string;
  /** Checks behind a pass. */
  count?: number;
}

export interface Judged {
  /** Exactly what would be inserted. */
  text: string;
  /** Every required oracle passed it on this exact text and buffer version. */
  verified: boolean;
  verdicts: Record<Domain, Verdict>;
}

export interface Row {
  /** Name of an icon in media/verdict. */
  icon: "verified" | "refused" | "open";
  label: string;
  description: string;
  detail: string | undefined;
}

const MARKS: Record<Status, string> = { passed: "✓", failed: "✗", not_run: "–", unavailable: "?" };
const WORDS: Record<Status, string> = { passed: "passed", failed: "failed", not_run: "not run", unavailable: "unavailable" };
const DOMAINS: readonly Domain[] = ["syntax", "types", "tests"];
const LABEL_WIDTH = 72;

export function refused(fill: Judged): boolean {
  return DOMAINS.some((domain) => fill.verdicts[domain].status === "failed");
}

/** `types ✓ · tests ✓ 3`; syntax only when it did not pass. */
export function marks(verdicts: Judged["verdicts"]): string {
  return DOMAINS.filter((domain) => domain !== "syntax" || verdicts.syntax.status !== "passed")
    .map((domain) => {
      const { status, count } = verdicts[domain];
      return `${domain} ${MARKS[status]}${status === "passed" && count ? ` ${count}` : ""}`;
    })
    .join(" · ");
}

/** The first line of a fill, and how many more there are. */
export function oneLine(text: string, width = LABEL_WIDTH): string {
  const lines = text.trim().split(/\r\n|\r|\n/);
  const more = lines.length - 1;
  const rest = more === 0 ? "" : ` … +${more} line${more === 1 ? "" : "s"}`;
  const head = (lines[0] ?? "").replace(/\s+/g, " ").trim();
  const room = width - rest.length;
  return ([...head].length <= room ? head : [...head].slice(0, room - 1).join("") + "…") + rest;
}

/** Why a fill is not verified; undefined when there is nothing to add. */
function why(fill: Judged): string | undefined {
  const parts = DOMAINS.filter((domain) => fill.verdicts[domain].status !== "passed").map((domain) => {
    const { status, detail } = fill.verdicts[domain];
    return `${domain} ${WORDS[status]}${detail ? `: ${detail}` : ""}`;
  });
  return parts.length > 0 ? parts.join("; ") : undefined;
}

export function row(fill: Judged): Row {
  const icon = refused(fill) ? "refused" : fill.verified ? "verified" : "open";
  return { icon, label: oneLine(fill.text), description: marks(fill.verdicts), detail: why(fill) };
}
