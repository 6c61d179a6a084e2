"""How reports look on a terminal."""

from __future__ import annotations

import math
from types import TracebackType

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from astral_lsp.commands.positions import line_column
from astral_lsp.commands.source import Source
from astral_lsp.fill.report import FillReport
from astral_lsp.holes.model import Hole
from astral_lsp.report import Fill, Verdict

SIGNS = {
    "passed": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "not_run": "[yellow]–[/]",
    "unavailable": "[yellow]?[/]",
}

_DETAIL = 120


class Progress:
    """A progress line on standard error: what is being done, and a bar where its length is known."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            console=console,
            transient=True,
            disable=quiet,
        )
        self._task = self._bar.add_task("", total=None)
        self._title = ""

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, title: str) -> None:
        """Start on something new."""
        self._title = title
        self.update("", None)

    def update(self, text: str, fraction: float | None) -> None:
        """``fraction`` in [0, 1], None when unknown."""
        description = f"{self._title}: {text}" if text else self._title
        if fraction is None:
            self._bar.update(self._task, description=description, total=None)
        else:
            self._bar.update(self._task, description=description, total=1.0, completed=fraction)

    def clear(self) -> None:
        """Take the line off the screen before something is printed."""
        self._bar.refresh()


def show_report(out: Console, source: Source, hole: Hole, report: FillReport, *, again: bool = False) -> None:
    """Print one hole with its expected type and its ranked fills."""
    line, column = line_column(source.text, hole.start)
    expected = f" expects [bold]{escape(report.expected_type)}[/]" if report.expected_type else ""
    seconds = report.elapsed_ms.get("total", 0.0) / 1e3
    suffix = " (again, with the other fills in place)" if again else ""
    out.print(
        f"[bold cyan]{escape(str(source.path))}:{line}:{column}[/] {hole.kind}{expected}"
        f" [dim]· {len(report.environment.names)} names in scope · {seconds:.1f} s{suffix}[/]"
    )
    for number, fill in enumerate(report.ranked, 1):
        _show_fill(out, number, fill)
    if report.message:
        out.print(f"   [yellow]{escape(report.message)}[/]")
    out.print()


def _show_fill(out: Console, number: int, fill: Fill) -> None:
    mark = "[bold green]verified[/]" if fill.verified else "[yellow]not verified[/]"
    verdicts = msgspec.structs.asdict(fill.verdicts).items()
    parts = [f"{SIGNS[verdict.status]} {name}{_detail(verdict)}" for name, verdict in verdicts]
    lines = fill.text.splitlines() or [""]
    out.print(f" {number:2d} [bold]{escape(lines[0])}[/]")
    for line in lines[1:]:
        out.print(f"    [bold]{escape(line)}[/]")
    score = f" [dim]· score {fill.score:.2f}[/]" if math.isfinite(fill.score) else ""  # repairs have none
    out.print(f"    {mark} · " + " · ".join(parts) + score)


def _detail(verdict: Verdict) -> str:
    detail = verdict.detail
    if not detail and verdict.findings:
        detail = verdict.findings[0].message
    detail = " ".join(detail.split())
    shown = detail if len(detail) <= _DETAIL else detail[: _DETAIL - 1] + "…"
    return f" [dim]({escape(shown)})[/]" if detail else ""
