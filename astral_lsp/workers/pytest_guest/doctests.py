"""Doctests of the definitions around a hole, run without pytest: they count as tests."""

from __future__ import annotations

import ast
import contextlib
import doctest
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from . import locate

_NO_BLANK = re.compile(r"^(\s*)(>>>|\.\.\.)(?=[^\s>.])", re.MULTILINE)


@dataclass
class Case:
    """The examples of one docstring."""

    id: str
    examples: list[doctest.Example]
    name: str


def cases(documented: list[tuple[str, str, int]]) -> tuple[list[Case], list[str]]:
    """Cases from (name, docstring, line), and a sentence for each docstring that cannot be read."""
    found, complaints = [], []
    for name, text, line in documented:
        try:
            # hand-written docstrings forget the blank after the prompt, which doctest refuses
            examples = doctest.DocTestParser().get_examples(_NO_BLANK.sub(r"\1\2 ", text), name)
        except ValueError as error:
            complaints.append(f"doctest of {name}: {error}")
            continue
        for example in examples:
            example.lineno += line
        if examples:
            found.append(Case(f"doctest of {name}", examples, name))
    return found, complaints


@dataclass
class Result:
    """What came of one case."""

    passed: int
    by_value: int
    """How many of ``passed`` printed another text for an equal literal value."""
    failure: str = ""
    error: BaseException | None = None
    line: int = 0


class _Stop(Exception):
    pass


class _Runner(doctest.DocTestRunner):
    """Stops at the first failure; a literal that equals the expected one passes whatever its spelling."""

    def __init__(self, flags: int) -> None:
        super().__init__(checker=doctest.OutputChecker(), verbose=False, optionflags=flags)
        self.passed = self.by_value = 0
        self.failed: tuple[doctest.Example, str, BaseException | None] | None = None

    def report_start(self, out: Any, test: doctest.DocTest, example: doctest.Example) -> None:
        pass

    def report_success(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self.passed += 1

    def report_failure(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        if _same_value(example.want, got):
            self.passed += 1
            self.by_value += 1
            return
        self.failed = (example, f"expected {_short(example.want)}, got {_short(got)}", None)
        raise _Stop

    def report_unexpected_exception(
        self, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Any
    ) -> None:
        self.failed = (example, locate.message(exc_info[1]), exc_info[1])
        raise _Stop


def _same_value(want: str, got: str) -> bool:
    try:
        expected, actual = ast.literal_eval(want.strip()), ast.literal_eval(got.strip())
        return type(expected) is type(actual) and bool(expected == actual)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False


def _short(text: str) -> str:
    line = text.strip().replace("\n", "⏎")
    return (line if len(line) <= 80 else line[:79] + "…") or "nothing"


def run(case: Case, module: ModuleType, flags: int = 0) -> Result:
    """Run the examples of ``case`` with the names of ``module``."""
    names = dict(vars(module))
    test = doctest.DocTest(list(case.examples), names, case.name, module.__file__, 0, None)
    runner = _Runner(flags)
    with contextlib.suppress(_Stop):
        runner.run(test, out=lambda text: None, clear_globs=False)
    result = Result(runner.passed, runner.by_value)
    if runner.failed is not None:
        example, why, error = runner.failed
        source = _short(example.source)
        result.failure, result.error, result.line = f"{source}: {why}", error, example.lineno
    return result
