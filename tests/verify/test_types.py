"""The types oracle end to end: a real worker, unsaved buffers, verdicts and σ/Γ."""

from __future__ import annotations

from pathlib import Path

import pytest

from astral_lsp.holes.model import Span
from astral_lsp.report import Verdict
from astral_lsp.verify.types import TypesOracle
from astral_lsp.workers.protocol import HoleTypes

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Case:
    """A buffer in which ``$0`` is the hole and each ``$1`` is another one."""

    def __init__(self, marked: str, placeholder: str = "...") -> None:
        self.others: list[Span] = []
        self.hole = Span(0, 0)
        text = ""
        for index, part in enumerate(marked.replace("$1", "\0b").replace("$0", "\0a").split("\0")):
            if index == 0:
                text = part
                continue
            span = Span(len(text), len(text) + len(placeholder))
            if part[0] == "a":
                self.hole = span
            else:
                self.others.append(span)
            text += placeholder + part[1:]
        self.text = text


class Bench:
    """One workspace folder and its oracle, asked about marked buffers."""

    def __init__(self, oracle: TypesOracle, root: Path) -> None:
        self.oracle, self.root = oracle, root
        self.name = "buffer.py"

    async def check(self, marked: str, *fills: str, placeholder: str = "...") -> list[Verdict]:
        case = Case(marked, placeholder)
        path = str(self.root / self.name)
        return await self.oracle.check(path, case.text, case.hole, fills, case.others, budget_ms=30000)

    async def statuses(self, marked: str, *fills: str, placeholder: str = "...") -> list[str]:
        return [v.status for v in await self.check(marked, *fills, placeholder=placeholder)]

    async def look(self, marked: str, *, expression: bool = True) -> HoleTypes:
        case = Case(marked)
        path = str(self.root / self.name)
        answer = await self.oracle.analyse(
            path, case.text, [case.hole], [case.hole, *case.others], [expression]
        )
        return answer.holes[0]


@pytest.fixture
def bench(types: tuple[TypesOracle, Path]) -> Bench:
    return Bench(*types)


# --- verdicts -------------------------------------------------------------------------------------------


async def test_only_errors_that_the_fill_adds_count(bench: Bench) -> None:
    text = 'own: int = "the file\'s own error"\ndef f(xs: list[str]) -> int:\n    return $0\n'
    good, bad = await bench.check(text, "len(xs)", "xs")
    assert good == Verdict("passed", elapsed_ms=good.elapsed_ms)
    assert bad.status == "failed"
    assert [(f.code, f.span, f.line) for f in bad.findings] == [("return-value", Span(0, 2), 3)]


async def test_a_moved_error_of_the_file_is_still_its_own(bench: Bench) -> None:
    text = 'def f(n: int) -> int:\n    $0\n    return n\nown: int = "x"\n'
    assert await bench.statuses(text, "n += 1\n    n += 2\n    n += 3", "n += ''") == ["passed", "failed"]


async def test_an_error_below_the_hole_that_the_fill_causes_is_its_own(bench: Bench) -> None:
    text = "def f() -> str:\n    value = $0\n    return value.upper()\n"
    good, bad = await bench.check(text, "'a'", "1")
    assert (good.status, bad.status) == ("passed", "failed")
    assert [(f.line, f.span) for f in bad.findings] == [(3, None)]


async def test_a_fill_must_not_fall_through_where_a_value_is_due(bench: Bench) -> None:
    text = "def f(n: int) -> int:\n    $0\n"
    assert await bench.statuses(text, "return n", "pass", "if n:\n        return 1", "raise OSError") == [
        "passed",
        "failed",
        "failed",
        "passed",
    ]


async def test_a_missing_return_of_the_file_is_not_the_fills(bench: Bench) -> None:
    text = "def f(n: int) -> int:\n    $0\n    if n:\n        return 1\n"
    assert await bench.statuses(text, "n += 1", "n += None") == ["passed", "failed"]


async def test_syntax_and_silencing_fail(bench: Bench) -> None:
    text = "def f(n: int) -> int:\n    return $0\nx = 1\n"
    verdicts = await bench.check(text, "(", "'a'  # type: ignore", "n if", "n")
    assert [v.status for v in verdicts] == ["failed", "failed", "failed", "passed"]
    assert verdicts[0].findings[0].code == "syntax"
    assert "silences" in verdicts[1].detail


async def test_other_holes_are_any(bench: Bench) -> None:
    text = "def g(n: int) -> int: $1\ndef f(n: int) -> int:\n    m = $1\n    return $0\n"
    assert await bench.statuses(text, "m.foo", "g(m)", "g('a')") == ["passed", "passed", "failed"]


async def test_invalid_markers_elsewhere_and_here(bench: Bench) -> None:
    text = "def f(n: int) -> int:\n    m: int = $1\n    return $0\n"
    assert await bench.statuses(text, "n + m", "str(m)", placeholder="??") == ["passed", "failed"]


UNCHECKED = {
    "after a return": "def f() -> int:\n    return 1\n    return $0\n",
    "a statement after a return": "def f() -> int:\n    return 1\n    $0\n",
    "another version": "import sys\nif sys.version_info < (3, 0):\n    def f() -> int:\n        return $0\n",
    "another platform": "import sys\nif sys.platform == 'nowhere':\n    x: int = $0\n",
    "a type that cannot be": "def f(n: int) -> int:\n    if n is None:\n        return $0\n    return n\n",
}  # fmt: skip


@pytest.mark.parametrize("name", UNCHECKED)
async def test_nothing_passes_where_mypy_does_not_look(bench: Bench, name: str) -> None:
    for verdict in await bench.check(UNCHECKED[name], "''", "1"):
        assert (verdict.status, verdict.applies) == ("not_run", True), verdict
        assert "unreachable" in verdict.detail


async def test_an_unknown_name_counts_where_types_do_not(bench: Bench) -> None:
    text = "def f(n: int) -> int:\n    if n is None:\n        return $0\n    return n\n"
    assert await bench.statuses(text, "no_such_name", "''") == ["failed", "not_run"]


async def test_a_type_that_nobody_determines_counts_only_where_mypy_looks(bench: Bench) -> None:
    text = "import sys\nif sys.platform != 'x':\n    raise OSError\nv = len\ndef f() -> None:\n    $0\n"
    assert await bench.statuses(text, "v", "no_such_name") == ["not_run", "failed"]


async def test_bases_of_classes_are_checked(bench: Bench) -> None:
    text = "import enum\nn = 1\nclass A($0.Enum):\n    x = 1\n"
    assert await bench.statuses(text, "enum", "nope", "n") == ["passed", "failed", "failed"]
    assert await bench.statuses("n = 1\nclass A($0):\n    x = 1\n", "int", "n") == ["passed", "failed"]


async def test_a_file_beside_its_stub_is_judged_by_its_own_text_and_that_is_said(
    bench: Bench,
) -> None:
    (bench.root / "stubbed.pyi").write_text("def f() -> int: ...\n", "utf-8")
    bench.name = "stubbed.py"
    good, bad = await bench.check("def f() -> str:\n    return $0\n", "''", "1")
    assert (good.status, bad.status) == ("passed", "failed")
    for verdict in (good, bad):
        assert "stubbed.pyi counts" in verdict.detail


async def test_places_that_are_no_expressions_are_checked_all_the_same(bench: Bench) -> None:
    assert await bench.statuses("x: $0 = 1\n", "int", "str", "no_such_type") == ["passed", "failed", "failed"]
    assert await bench.statuses("def f(n: int) -> $0:\n    return n\n", "int", "str") == ["passed", "failed"]


async def test_the_authors_own_type_ignore_is_said(bench: Bench) -> None:
    text = "def f() -> int:\n    return $0  # type: ignore\n"
    first, second = await bench.check(text, "1", "''")
    assert (first.status, second.status) == ("passed", "passed")
    assert second.detail == "its line has a type: ignore"


async def test_module_and_class_level_holes(bench: Bench) -> None:
    assert await bench.statuses("x: int = $0\ny = x + 1\n", "1", "'a'") == ["passed", "failed"]
    text = "class A:\n    x: int = $0\n    def m(self) -> int:\n        return self.x\n"
    assert await bench.statuses(text, "1", "'a'") == ["passed", "failed"]


async def test_a_module_level_fill_that_breaks_its_users_fails(bench: Bench) -> None:
    text = "def f(n: int) -> int:\n    return n + LIMIT\nLIMIT = $0\n"
    assert await bench.statuses(text, "3", "'three'") == ["passed", "failed"]


async def test_getting_ready_gives_no_verdict_and_changes_none(bench: Bench) -> None:
    text = "def f(n: int) -> int:\n    return $0\n"
    assert await bench.check(text) == []
    assert await bench.statuses(text, "n", "''") == ["passed", "failed"]
    assert await bench.check("def f() -> int:\n    return 1\n    return $0\n") == []


async def test_a_type_that_mypy_puts_off_to_the_last_is_an_error_at_last(bench: Bench) -> None:
    text = (
        "class A:\n    n = ''\n    def __init__(self, d: dict[str, tuple[str, str]]) -> None:\n"
        "        a, self.b = d[$0.n]\n        self.c = a\n"
    )
    assert await bench.statuses(text, "self", "a") == ["passed", "failed"]


async def test_several_fills_are_independent(bench: Bench) -> None:
    text = "class A:\n    def __init__(self) -> None:\n        $0\n    def m(self) -> int: return self.x\n"
    fills = ["self.x = 1", "self.y = 1", "self.x = 'a'", "self.x = 2"]
    statuses = await bench.statuses(text, *fills)
    # `self.x` is unknown while the hole stands, so not defining it is not the fill's error
    assert statuses == ["passed", "passed", "failed", "passed"]


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
async def test_line_endings(bench: Bench, ending: str) -> None:
    text = "x = 1\n\ndef f(n: int) -> int:\n    return $0\n".replace("\n", ending)
    good, bad = await bench.check(text, "n", "''")
    assert (good.status, bad.status, bad.findings[0].line) == ("passed", "failed", 4)


async def test_columns_beyond_ascii(bench: Bench) -> None:
    text = 'def f(ñ: int) -> tuple[str, str, int]:\n    return "é", "🐍𝔸", $0\n'
    _, bad = await bench.check(text, "ñ", "[ñ, missing]")
    assert bad.status == "failed"
    assert Span(4, 11) in [f.span for f in bad.findings]


async def test_encodings_byte_order_mark_and_surrogates(bench: Bench) -> None:
    text = '\ufeff# -*- coding: latin-1 -*-\nx = "é\ud800"\ndef f(n: int) -> int:\n    return $0\n'
    assert await bench.statuses(text, "n", "''", "'\ud800'") == ["passed", "failed", "failed"]


async def test_null_characters_and_bad_spans_are_unavailable(bench: Bench) -> None:
    path = str(bench.root / bench.name)
    for text, hole in (("x = \0", Span(0, 1)), ("x = 1", Span(3, 90))):
        verdicts = await bench.oracle.check(path, text, hole, ["1"])
        assert [v.status for v in verdicts] == ["unavailable"]
        assert verdicts[0].detail


# --- broken syntax elsewhere ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        "x = foo(",
        "def g(:\n    return 1",
        "for in y:\n    pass",
        "class :\n    a = 1",
        "def g():\n        a = 1\n    b = 2",
        'y = "abc',
    ],
)
async def test_broken_syntax_elsewhere_is_left_out_and_said(bench: Bench, broken: str) -> None:
    text = f"import os\ndef f(n: int) -> int:\n    return $0\n\n{broken}\n\ndef h() -> None:\n    pass\n"
    good, bad = await bench.check(text, "n", "''")
    assert (good.status, bad.status) == ("passed", "failed")
    assert "syntax error" in good.detail


async def test_broken_syntax_around_the_hole_is_unavailable(bench: Bench) -> None:
    verdicts = await bench.check("def f(n: int) -> int:\n    return n n $0\n", "n")
    assert [v.status for v in verdicts] == ["unavailable"]
    assert "does not parse" in verdicts[0].detail


# --- σ and Γ --------------------------------------------------------------------------------------------


async def test_expected_types(bench: Bench) -> None:
    head = "from typing import Literal, Callable\ndef f(n: int, xs: list[str]) -> dict[str, int]:\n    "
    cases = {
        "return $0": "dict[str, int]",
        "m: Literal['r', 'w'] = $0": "Literal['r', 'w']",
        "xs.append($0)": "str",
        "if $0: pass": "bool",
        "n == $0": "int",
        "n in $0": "Container[int]",
        "$0 in xs": "str",
        "for q in $0: pass": "Iterable[Any]",
        "k: Callable[[int], str] = lambda i: $0": "str",
        "xs.sort(key=$0)": "Callable[[str], SupportsDunderLT[Any] | SupportsDunderGT[Any]] | None",
        "raise $0": "BaseException | type[BaseException]",
        "b = $0": None,
    }
    found = {line: (await bench.look(head + line + "\n")).expected for line in cases}
    assert found == cases


async def test_names_in_scope_with_types_reach_and_fit(bench: Bench) -> None:
    text = (
        "import os\nfrom collections import Counter\nLIMIT = 3\n"
        "class A:\n    def __init__(self, size: int) -> None:\n        self.size = size\n"
        "    @property\n    def half(self) -> int:\n        return 1\n"
        "    def m(self, xs: list[str], k: int | str) -> int:\n"
        "        if isinstance(k, str):\n            other = 1\n            return 0\n"
        "        squares = [i * i for i in range(3)]\n"
        "        here = $0 + self.size\n        later = 3\n        return here\n"
    )
    look = await bench.look(text)
    assert look.expected == "int"
    names = {n.name: (n.type, n.reach, n.fits) for n in look.names}
    assert names["k"] == ("int", "argument", True)  # narrowed
    assert names["xs"] == ("list[str]", "argument", False)
    assert names["squares"] == ("list[int]", "local", False)
    assert names["self.size"] == ("int", "self", True)
    assert names["self.half"] == ("int", "self", True)
    assert names["LIMIT"] == ("int", "global", True)
    assert names["os"][1] == names["Counter"][1] == "import"
    assert names["A"] == ("type[A]", "global", False)
    assert not {"later", "here", "i"} & set(names)


async def test_names_of_another_branch_or_scope_are_not_in_reach(bench: Bench) -> None:
    text = (
        "def f(a: int) -> int:\n    if a:\n        one = 1\n    else:\n        two = $0\n"
        "    def inner() -> None:\n        three = 1\n    return a\n"
    )
    names = {n.name for n in (await bench.look(text)).names}
    assert "a" in names
    assert not {"one", "two", "three"} & names


async def test_statement_holes_have_names_and_a_note(bench: Bench) -> None:
    look = await bench.look("def f(total: int) -> float:\n    $0\n", expression=False)
    assert look.expected is None
    assert "float" in look.note
    assert "total" in {n.name for n in look.names}


async def test_unreachable_holes_say_so(bench: Bench) -> None:
    look = await bench.look("def f() -> int:\n    return 1\n    return $0\n")
    assert "unreachable" in look.note
