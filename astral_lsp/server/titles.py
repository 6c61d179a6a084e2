"""Verdicts in few words: titles, lenses, tooltips and the message after an edit."""

from __future__ import annotations

from astral_lsp.report import Fill, Verdict, Verdicts

MARKS = {"passed": "✓", "failed": "✗", "not_run": "–", "unavailable": "?"}
WIDTH = 60


def mark(name: str, verdict: Verdict) -> str:
    """``tests ✓ 3``: the domain, its mark, and how many checks stand behind a pass."""
    count = f" {verdict.count}" if verdict.status == "passed" and verdict.count else ""
    return f"{name} {MARKS[verdict.status]}{count}"


def marks(verdicts: Verdicts) -> str:
    """The verdicts that tell fills apart; syntax only when it did not pass."""
    parts = [] if verdicts.syntax.status == "passed" else [mark("syntax", verdicts.syntax)]
    return " · ".join([*parts, mark("types", verdicts.types), mark("tests", verdicts.tests)])


def shorten(text: str, width: int = WIDTH) -> str:
    """One line of ``text``; its first line and the number of further ones when there are more."""
    lines = text.strip().splitlines() or [""]
    head = " ".join(lines[0].split())
    rest = f" … +{len(lines) - 1} lines" if len(lines) > 2 else " … +1 line" if len(lines) == 2 else ""
    room = width - len(rest)
    return (head if len(head) <= room else head[: room - 1] + "…") + rest


def fill_title(fill: Fill, *, stale: bool = False) -> str:
    """The title of one candidate's code action."""
    verb = "Insert unverified" if refused(fill) else "Fill hole"
    if stale:
        return f"{verb}: `{shorten(fill.text)}` · types – · tests – (checked before later edits)"
    return f"{verb}: `{shorten(fill.text)}` · {marks(fill.verdicts)}"


def reasons(fill: Fill) -> list[str]:
    """One line per thing that is not a pass, in words."""
    lines = []
    for name in ("syntax", "types", "tests"):
        verdict: Verdict = getattr(fill.verdicts, name)
        if verdict.status == "passed":
            continue
        word = {"failed": "failed", "not_run": "not run", "unavailable": "unavailable"}[verdict.status]
        lines.append(f"{name} {word}" + (f": {verdict.detail}" if verdict.detail else ""))
        lines.extend(_finding(finding.message, finding.code, finding.line) for finding in verdict.findings)
    return lines


def _finding(message: str, code: str, line: int | None) -> str:
    where = f"line {line}: " if line is not None else ""
    return f"  {where}{message}" + (f" [{code}]" if code else "")


def refused(fill: Fill) -> bool:
    """Whether an oracle answered ``failed``."""
    verdicts = fill.verdicts
    return "failed" in (verdicts.syntax.status, verdicts.types.status, verdicts.tests.status)
