"""Outcomes of a long run, one a line, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def read_outcomes(path: Path, kind: type[T]) -> list[T]:
    """What an earlier run has left, as the dataclass ``kind``."""
    return [kind(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def write_outcome(sink: TextIO, outcome: DataclassInstance) -> None:
    """Add one; it is on the disk before the next is worked on."""
    sink.write(json.dumps(asdict(outcome)) + "\n")
    sink.flush()
