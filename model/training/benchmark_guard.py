"""Refuses files that contain benchmark problems. The repository keeps hashes only, never a prompt.

Hashes are of normalised windows of eight words (lower case, identifiers and numbers only) from prompts and
solutions of the development rows, and of distinctive entry-point names. A file is refused when it defines a
function of such a name, holds one window of a prompt or three different windows of a solution, or speaks
of the benchmark by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

HASH_FILE = Path(__file__).with_name("benchmark_hashes.txt")
_WINDOW = 8
_SOLUTION_HITS = 3
_WORD = re.compile(r"[A-Za-z_]\w*|\d+")
_DEFINED = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
_NAMED = re.compile(r"human[ _-]?eval|\bmbpp\b|mostly basic python", re.IGNORECASE)


class BenchmarkGuard:
    """Answers why a text must not be trained on; build it once, it is read-only."""

    def __init__(self, prompts: set[str], solutions: set[str], names: set[str]) -> None:
        self._prompts, self._solutions, self._names = prompts, solutions, names

    @classmethod
    def load(cls, path: Path = HASH_FILE) -> BenchmarkGuard:
        """From the committed hashes."""
        groups: dict[str, set[str]] = {"p": set(), "s": set(), "n": set()}
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                groups[line[0]].add(line[2:])
        return cls(groups["p"], groups["s"], groups["n"])

    def reason(self, text: str) -> str | None:
        """Why ``text`` is refused, or None."""
        if _NAMED.search(text):
            return "names the benchmark"
        if any(_hash(name) in self._names for name in _DEFINED.findall(text)):
            return "defines a benchmark function"
        seen = {_hash(window) for window in windows(text)}
        if seen & self._prompts:
            return "contains a benchmark prompt"
        if len(seen & self._solutions) >= _SOLUTION_HITS:
            return "contains a benchmark solution"
        return None


def windows(text: str) -> Iterator[str]:
    """Every run of eight words of ``text``, normalised."""
    words = [w.lower() for w in _WORD.findall(text)]
    for i in range(len(words) - _WINDOW + 1):
        yield " ".join(words[i : i + _WINDOW])


def write_hashes(rows: Iterable[dict[str, str]], distinctive: Iterable[str], path: Path = HASH_FILE) -> None:
    """Make the hash file from benchmark rows (prompt, canonical_solution, suffix, entry_point)."""
    prompts: set[str] = set()
    solutions: set[str] = set()
    names = {_hash(name) for name in distinctive}
    for row in rows:
        docstrings = "\n".join(re.findall(r'(?:"""|\'\'\')(.*?)(?:"""|\'\'\')', row["prompt"], re.DOTALL))
        prompts |= {_hash(w) for w in windows(docstrings)}
        body = (row["prompt"] + row["canonical_solution"] + row["suffix"]).replace(docstrings, "")
        solutions |= {_hash(w) for w in windows(body)}
    lines = ["# 16 hex digits of SHA-256 each: p prompt windows, s solution windows, n entry-point names"]
    for tag, group in (("n", names), ("p", prompts), ("s", solutions - prompts)):
        lines += sorted(f"{tag} {h}" for h in group)
    path.write_text("\n".join(lines) + "\n")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    """``python -m training.benchmark_guard NAMES.txt ROWS.jsonl...``: write the hash file from local rows."""
    import sys

    names, *files = sys.argv[1:]
    rows = [json.loads(line) for file in files for line in Path(file).read_text().splitlines()]
    write_hashes(rows, Path(names).read_text().split())


if __name__ == "__main__":
    main()
