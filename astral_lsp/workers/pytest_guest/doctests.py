"""Doctests of the definitions around a hole, run without pytest: they count as tests."""

from __future__ import annotations

import ast
import contextlib
import doctest
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any

from . import locate

_NO_BLANK = re.compile(r"^(\s*)(>>>|\.\.\.)(?=[^\s>.])", re.MULTILINE)

_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]+")


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
    unsaid: int = 0
    """How many of ``passed`` printed something where the docstring shows no output."""
    unfinished: str = ""
    """Why the rest was not run: the docstring uses names that it does not define."""
    failure: str = ""
    error: BaseException | None = None
    line: int = 0


def option_flags(names: Iterable[str]) -> int:
    """The flags of a configuration's ``doctest_optionflags``."""
    flags = 0
    for name in names:
        flags |= doctest.OPTIONFLAGS_BY_NAME.get(name, 0)
    return flags


class _Stop(Exception):
    pass


class _Runner(doctest.DocTestRunner):
    """Stops at the first failure, and is lenient where the fill cannot be to blame.

    A literal that equals the expected one passes whatever its spelling, and so does an example that shows
    no output at all: docstrings that nobody runs are written like that. An example that itself uses an
    undefined name ends the docstring: it was not written to be run.
    """

    def __init__(self, flags: int) -> None:
        super().__init__(checker=doctest.OutputChecker(), verbose=False, optionflags=flags)
        self.passed = self.by_value = self.unsaid = 0
        self.unfinished = ""
        self.failed: tuple[doctest.Example, str, BaseException | None] | None = None

    def report_start(self, out: Any, test: doctest.DocTest, example: doctest.Example) -> None:
        pass

    def report_success(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self.passed += 1

    def report_failure(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        if not example.want.strip():
            self.passed += 1
            self.unsaid += 1
            return
        if _same_value(example.want, got) or _without_addresses(example.want) == _without_addresses(got):
            self.passed += 1
            self.by_value += 1
            return
        self.failed = (example, f"expected {_short(example.want)}, got {_short(got)}", None)
        raise _Stop

    def report_unexpected_exception(
        self, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Any
    ) -> None:
        if isinstance(exc_info[1], NameError) and _raised_by_the_example(exc_info[2]):
            self.unfinished = locate.message(exc_info[1])
        else:
            self.failed = (example, locate.message(exc_info[1]), exc_info[1])
        raise _Stop


def _raised_by_the_example(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is the example's own code and not a function that it called."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith("<doctest ")


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub("at 0x", text.strip())


def _same_value(want: str, got: str) -> bool:
    try:
        expected, actual = ast.literal_eval(want.strip()), ast.literal_eval(got.strip())
        return bool(expected == actual) and _same_types(expected, actual)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False


def _same_types(one: Any, other: Any) -> bool:
    """Whether equal literals are of equal types all through: 1 is not 1.0, nor True."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return all(_same_types(left, right) for left, right in zip(one, other, strict=True))
    if isinstance(one, dict):
        return Counter(map(_typed, one)) == Counter(map(_typed, other)) and all(
            _same_types(one[key], other[key]) for key in one
        )
    if isinstance(one, (set, frozenset)):
        return Counter(map(_typed, one)) == Counter(map(_typed, other))
    return True


def _typed(value: Any) -> Any:
    return (type(value), tuple(map(_typed, value))) if isinstance(value, tuple) else (type(value), value)


def _short(text: str) -> str:
    line = text.strip().replace("\n", "⏎")
    return (line if len(line) <= 80 else line[:79] + "…") or "nothing"


def run(case: Case, module: ModuleType, flags: int = 0) -> Result:
    """Run the examples of ``case`` with the names of ``module``."""
    names = dict(vars(module))
    test = doctest.DocTest(list(case.examples), names, case.name, module.__file__, 0, None)
    runner = _Runner(flags | doctest.ELLIPSIS)
    with contextlib.suppress(_Stop):
        runner.run(test, out=lambda text: None, clear_globs=False)
    result = Result(runner.passed, runner.by_value, runner.unsaid, runner.unfinished)
    if runner.failed is not None:
        example, why, error = runner.failed
        source = _short(example.source)
        result.failure, result.error, result.line = f"{source}: {why}", error, example.lineno
    return result
