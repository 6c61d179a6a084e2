"""The syntax oracle on holes of every category, in whole and in broken files."""

from __future__ import annotations

import ast
import inspect
import random
import textwrap

import msgspec
import pytest

from astral_lsp.holes.find import find_holes, hole_from_range
from astral_lsp.holes.model import Hole, replace_span
from astral_lsp.report import Verdict
from astral_lsp.verify.python_source import syntax_error
from astral_lsp.verify.surroundings import surroundings
from astral_lsp.verify.syntax import check_syntax

RETURN = "def f(a):\n    return ?x * 2\n"
ARGUMENTS = "def f(a):\n    g(?x)\n"
SECOND = "def f(a):\n    g(1, ?x)\n"
VALUE = "def f(a):\n    x = ?x\n"
BODY = "class C:\n    def f(a):\n        '''d'''\n        ...  # hint\n    def g(self): pass\n"
INLINE = "def f(a): ...\n"
TYPE = "x: ?t = 1\n"
TARGET = "def f(?a): pass\n"
CONDITION = "if ?c:\n    pass\n"
LOOP = "def f(a):\n    for x in a:\n        ...\n    return a\n"

PASSED = [
    (RETURN, "a"),
    (RETURN, "(a + 1)"),
    (RETURN, "f(a, *a)[0]"),
    (ARGUMENTS, "a"),
    (ARGUMENTS, "a, 1"),
    (ARGUMENTS, "k=1, **a"),
    (ARGUMENTS, "x for x in a"),
    (SECOND, "*a"),
    (SECOND, "key=lambda x: x"),
    (VALUE, "a, 1"),
    (VALUE, "yield"),
    (VALUE, "a if a else 1"),
    (VALUE, "lambda: 1"),
    (VALUE, "a[..., 0]"),
    (VALUE, 'r"\\d"'),
    (BODY, "return 1"),
    (BODY, "x = 1\n        return x"),
    (BODY, "for x in y:\n            pass"),
    (BODY, "x = '''\nfree text\n'''"),
    (INLINE, "\n    return a"),
    (INLINE, " return a"),
    (TYPE, "int | None"),
    (TARGET, "a, b=1"),
    (CONDITION, "x := 1"),
    (LOOP, "if x:\n            continue"),
]


def judge(text: str, fill: str, number: int = 0) -> Verdict:
    holes = find_holes(text)
    return check_syntax(text, holes[number], fill, holes)


@pytest.mark.parametrize(("text", "fill"), PASSED)
def test_passed(text: str, fill: str) -> None:
    verdict = judge(text, fill)
    assert (verdict.status, verdict.detail, verdict.findings) == ("passed", "", ())
    (hole,) = find_holes(text)
    ast.parse(replace_span(text, hole.span, fill))


INDEX = "def f(a):\n    return a[?i]\n"
INDICES = "def f(a):\n    return a[0, ?i]\n"
STOP = "def f(a):\n    return a[1:?i]\n"

SLICES = [
    (INDEX, ":"),
    (INDEX, "1:"),
    (INDEX, "::-1"),
    (INDEX, "a : a + 1"),
    (INDEX, "1"),
    (INDEX, "1, 2"),
    (INDICES, "1:2"),
    (STOP, "2"),
]


@pytest.mark.parametrize(("text", "fill"), SLICES)
def test_an_index_may_be_a_slice(text: str, fill: str) -> None:
    assert judge(text, fill).status == "passed"


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        (INDEX, "1] + a[2:"),
        (INDEX, "1:2:3:4"),
        (STOP, "1:2:3"),
        (VALUE, "1:2"),
        (ARGUMENTS, "1:2"),
        ("x = [?i]\n", "1:2"),
        ("x = {1, ?i}\n", "1:2"),
    ],
)
def test_elsewhere_a_slice_fails(text: str, fill: str) -> None:
    assert judge(text, fill).status == "failed"


FAILED = [
    # (text, fill with the blamed part in guillemets)
    (RETURN, "«»"),
    (RETURN, "«  »"),
    (RETURN, "«a + 1»"),
    (RETURN, "a«\0»"),
    (RETURN, "«...»"),
    (RETURN, "«?y»"),
    (RETURN, "a + «__hole__»"),
    (RETURN, "a«)» + (a"),
    (RETURN, "f«(»a,"),
    (RETURN, "«a # c»"),
    (ARGUMENTS, "«a) + g(a»"),
    (SECOND, "«a, 1»"),
    (VALUE, "«await a»"),
    (VALUE, "1\n    «return» 2"),
    (VALUE, "é, é «é»"),
    (BODY, "«raise NotImplementedError»"),
    (BODY, "return 1\n«x = 2»"),
    (BODY, "x = «(»"),
    (BODY, "«break»"),
    (BODY, "«await x»"),
    (BODY, "«nonlocal z»"),
    (BODY, "x = «'''»"),
    (TYPE, "x «=» 1"),
    (TARGET, "«1»"),
    (CONDITION, "x «=» 1"),
    (LOOP, "«...»"),
]


@pytest.mark.parametrize(("text", "marked"), FAILED)
def test_failed(text: str, marked: str) -> None:
    start, end = marked.index("«"), marked.index("»") - 1
    fill = marked.replace("«", "").replace("»", "")
    verdict = judge(text, fill)
    assert verdict.status == "failed"
    (finding,) = verdict.findings
    assert finding.span is not None
    assert 0 <= finding.span.start <= finding.span.end <= len(fill)
    assert finding.span.start <= start, (finding, fill)
    assert finding.span.end >= min(end, start + 1), (finding, fill)


@pytest.mark.parametrize(
    "fill", ["x = 1\n    return x", "x = 1\n            y = 2", "if x:", "return 1\n\n    def h(): 1"]
)
def test_wrong_indentation_fails(fill: str) -> None:
    assert judge(BODY, fill).status == "failed"


def test_deep_nesting_is_a_verdict_not_a_crash() -> None:
    assert judge(VALUE, "(" * 5000 + ")" * 5000).status == "failed"
    assert judge(VALUE, "-" * 100_000 + "1").status in ("failed", "passed")


BROKEN = [
    "def g(:\n    pass\n\ndef f(a):\n    return ?x\n",
    "def f(a):\n    return ?x\n\ndef g(:\n    pass\n",
    "def f(a):\n    y = = 3\n    return ?x\n",
    "class A\n    def f(self, a):\n        return ?x\n",
    "x = '''\n\ndef f(a):\n    return 1\n'''\ny = (\ndef f(a):\n    return ?x\n",
]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_syntax_elsewhere_is_not_the_fills(text: str) -> None:
    verdict = judge(text, "a")
    assert verdict.status == "passed"
    assert "not by the fill" in verdict.detail
    for bad in ("a b", "a(", "return", "a)"):
        assert judge(text, bad).status == "failed"


BROKEN_ELSEWHERE = """def total(items):
    return sum(«item.price *» item.count for item in items)


def broken(items):
    if items
        return items[0].price *
    return 0.0
"""


def test_a_selection_in_a_file_that_is_broken_elsewhere() -> None:
    hole, text = selected(BROKEN_ELSEWHERE)
    assert hole.category == "any"
    verdict = check_syntax(text, hole, "(item.tax + item.price) *")
    assert (verdict.status, verdict.detail) == (
        "passed",
        "checked without lines 6, 7: broken, but not by the fill",
    )
    for bad in ("item.price", "item.price *)", "return"):
        assert check_syntax(text, hole, bad).status == "failed"


@pytest.mark.parametrize(
    ("fixture", "good", "bad"),
    [
        ("x = [1,\n2«»\ny = 3\n", "]", ", 3"),
        ("def f(a):\n    return g(a, «»\n\n\nx = 1\n", "1)", "1"),
        ("def f(a):\n    if «a == »\n        return 1\n", "a == 1:", "a == 1"),
    ],
)
def test_a_selection_may_mend_what_is_broken_around_it(fixture: str, good: str, bad: str) -> None:
    hole, text = selected(fixture)
    verdict = check_syntax(text, hole, good)
    assert (verdict.status, verdict.detail) == ("passed", "")
    assert check_syntax(text, hole, bad).status == "failed"


def test_a_file_of_another_language_is_judged_next_to_the_fill() -> None:
    text = "print 'a'\n" * 200 + "def f(a):\n    return ?x\n"
    verdict = judge(text, "a")
    assert verdict.status == "passed"
    assert "only the code next to it was checked" in verdict.detail
    assert judge(text, "a)").status == "failed"


def selected(fixture: str) -> tuple[Hole, str]:
    start, end = fixture.index("«"), fixture.index("»") - 1
    text = fixture.replace("«", "").replace("»", "")
    return hole_from_range(text, start, end), text


def test_other_holes_do_not_count() -> None:
    text = (
        "def f(?a, b=??):\n    if ?c:\n        ...\n    import astral_lsp\n    return astral_lsp.hole('x')\n"
    )
    holes = find_holes(text)
    assert len(holes) == 5
    for hole, fill in zip(holes, ["a", "1", "b", "pass", "a"], strict=True):
        assert check_syntax(text, hole, fill, holes).status == "passed"


def test_aliased_hole_call_in_a_fill_is_a_hole() -> None:
    text = "from astral_lsp import hole as later\ndef f():\n    return ?x\n"
    assert judge(text, "hole('a')").status == "passed"
    holes = find_holes(text.replace("as later", "").replace("import hole ", "import hole"))
    assert check_syntax(text.replace(" as later", ""), holes[0], "hole('a')").status == "failed"


def test_refining_may_leave_holes() -> None:
    text = "def f(a):\n    return ?x\n"
    (hole,) = find_holes(text)
    assert check_syntax(text, hole, "f(...)").status == "failed"
    assert check_syntax(text, hole, "f(...)", allow_holes=True).status == "passed"


@pytest.mark.parametrize(
    ("fixture", "good", "bad"),
    [
        ("def f(a):\n    for «»\n        print(x)\n", "x in a:", "x in"),
        ("def f(a):\n    return sum(«»b)\n", "a, ", "a "),
        ("x = «a + b»\n", "f(c)", "f(c"),
        ("def f(a):\n    «»\n\n\ndef g(): pass\n", "return a", "return ("),
        ("def f(a):«»\n", "\n    return a", "\n  return )"),
        ("«x = 1»\n", "def f():\n    return 1", "def f():"),
    ],
)
def test_selections(fixture: str, good: str, bad: str) -> None:
    hole, text = selected(fixture)
    assert check_syntax(text, hole, good).status == "passed"
    assert check_syntax(text, hole, bad).status == "failed"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_and_byte_order_mark(ending: str, mark: str) -> None:
    text = mark + "def f(a):\n\tif a:\n\t\t...\n\treturn '😀'\n".replace("\n", ending)
    assert judge(text, f"x = '𝒳'{ending}\t\treturn x").status == "passed"
    verdict = judge(text, f"x = '𝒳'{ending}\t\treturn x +")
    assert verdict.status == "failed"
    span = verdict.findings[0].span
    assert span is not None
    assert span.start >= len(f"x = '𝒳'{ending}")


def test_agrees_with_the_compiler_on_real_code() -> None:
    """Real expressions and statements of a library module, swapped and damaged: never passed in vain."""
    text = inspect.getsource(textwrap)
    choose = random.Random(5)
    lines = text.splitlines(keepends=True)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.expr, ast.stmt))]
    nodes = [node for node in nodes if (node.end_lineno or 0) - node.lineno < 6]
    pieces = [ast.get_source_segment(text, node) or "" for node in choose.sample(nodes, 60)]
    passed = 0
    for node in choose.sample(nodes, 60):
        start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
        own = ast.get_source_segment(text, node) or ""
        hole = hole_from_range(text, start, start + len(own))
        damaged = choose.choice(pieces)[: choose.randrange(1, 12)] + choose.choice("()[:,=\n'")
        for fill in (own, choose.choice(pieces), choose.choice(pieces), damaged):
            verdict = check_syntax(text, hole, fill)
            compiles = syntax_error(replace_span(text, hole.span, fill), compiled=True) is None
            assert compiles or verdict.status == "failed", (hole, fill)
            assert verdict.status == "passed" or fill is not own, (hole, verdict)
            passed += verdict.status == "passed"
    assert passed > 100


def test_passed_means_the_whole_file_compiles() -> None:
    """Differential: on whole files the quick check agrees with compiling the whole file."""
    for text, fill in PASSED:
        (hole,) = find_holes(text)
        compile(replace_span(text, hole.span, fill), "<file>", "exec", dont_inherit=True)


@pytest.mark.parametrize(
    ("fixture", "fill"),
    [
        ("def f(xs):\n    t = 0\n«»        t += x\n    return t\n", "    for x in xs:\n"),
        ("def f(xs):\n    if not xs:\n«»\n    return xs[0]\n", "        return None"),
        ("def f(xs):\n    ret«»n(xs)\n", "urn le"),
        ("d = {\n    'a': 1,\n«»print(d)\n", "}\n"),
    ],
)
def test_what_only_a_fill_can_mend_is_left_as_it_is(fixture: str, fill: str) -> None:
    """Nothing is left out of a statement because the hole in it is open."""
    hole, text = selected(fixture)
    hole = msgspec.structs.replace(hole, category="any")
    around = surroundings(text, hole)
    assert around.before + around.after == text
    assert (check_syntax(text, hole, fill).status, check_syntax(text, hole, fill).detail) == ("passed", "")
    assert check_syntax(text, hole, "    x +").status == "failed"
