"""What is a hole and what is ordinary Python. ``«»`` marks the spans that must be found, in order."""

from __future__ import annotations

import re

import pytest

from astral_lsp.holes.find import find_holes, hole_at, hole_from_range
from astral_lsp.holes.model import Hole


def unmark(fixture: str) -> tuple[str, list[tuple[int, int]]]:
    """Take the guillemets out of a fixture and return where they were."""
    text, spans, start = "", [], 0
    for piece in re.split("([«»])", fixture):
        if piece == "«":
            start = len(text)
        elif piece == "»":
            spans.append((start, len(text)))
        else:
            text += piece
    return text, spans


POSITIVE = [
    # (fixture, kind, category, marker)
    ("x: int = «...»\n", "assignment", "expression", "ellipsis"),
    ("x = «...»\n", "assignment", "expression", "ellipsis"),
    ("x += «...»\n", "assignment", "expression", "ellipsis"),
    ("if (n := «...»): pass\n", "assignment", "expression", "ellipsis"),
    ("f(«...»)\n", "argument", "expression", "ellipsis"),
    ("f(1, key=«...»)\n", "argument", "expression", "ellipsis"),
    ("f(*«?xs»)\n", "iterable", "expression", "question"),
    ("f(**«?kw»)\n", "argument", "expression", "question"),
    ("a[0](«...»)\n", "argument", "expression", "ellipsis"),
    ("a[f(«...»)]\n", "argument", "expression", "ellipsis"),
    ("if «...»:\n    x = 1\n", "condition", "expression", "ellipsis"),
    ("if a and not «...»:\n    x = 1\n", "condition", "expression", "ellipsis"),
    ("if a:\n    x = 1\nelif «??»:\n    x = 2\n", "condition", "expression", "question"),
    ("while («...»):\n    x = 1\n", "condition", "expression", "ellipsis"),
    ("assert «?ok», 'why'\n", "condition", "expression", "question"),
    ("x = 1 if «...» else 2\n", "condition", "expression", "ellipsis"),
    ("x = «...» if a else 2\n", "expression", "expression", "ellipsis"),
    ("[a for a in b if «...»]\n", "condition", "expression", "ellipsis"),
    ("match a:\n    case 1 if «?g»:\n        x = 1\n", "condition", "expression", "question"),
    ("def f():\n    return «...»\n", "return", "expression", "ellipsis"),
    ("def f():\n    return («??»)\n", "return", "expression", "question"),
    ("def f():\n    return a, «?b»\n", "element", "expression", "question"),
    ("def f():\n    yield «...»\n", "expression", "expression", "ellipsis"),
    ("async def f():\n    await «...»\n", "expression", "expression", "ellipsis"),
    ("f = lambda: «...»\n", "expression", "expression", "ellipsis"),
    ("[1, «...», 3]\n", "element", "expression", "ellipsis"),
    ("x = {1: «...»}\n", "element", "expression", "ellipsis"),
    ("x = {«?k»: 1}\n", "element", "expression", "question"),
    ("x = [«...» for a in b]\n", "element", "expression", "ellipsis"),
    ("for a in «...»:\n    x = 1\n", "iterable", "expression", "ellipsis"),
    ("[a for a in «?b»]\n", "iterable", "expression", "question"),
    ("def f(a: int = «...») -> int:\n    return a\n", "default", "expression", "ellipsis"),
    ("x = a < «...»\n", "expression", "expression", "ellipsis"),
    ("x = «?a» + 1\n", "expression", "expression", "question"),
    ("x = f'{«?a»!r:>10}'\n", "expression", "expression", "question"),
    ("with «?a» as b:\n    x = 1\n", "expression", "expression", "question"),
    ("raise «?a»\n", "expression", "expression", "question"),
    ("@«?a»\ndef f():\n    return 1\n", "expression", "expression", "question"),
    ("x: «?t» = 1\n", "expression", "expression", "question"),
    ("«?x» = 1\n", "expression", "any", "question"),
    ("a.«?x»()\n", "expression", "any", "question"),
    ("«?x».strip()\n", "expression", "expression", "question"),
    ("f(«?größe»)\n", "argument", "expression", "question"),
    ("f(«__hole__»)\n", "argument", "expression", "hole_name"),
    ("import astral_lsp\nf(«astral_lsp.hole('a')»)\n", "argument", "expression", "hole_call"),
    ("import astral_lsp as al\nx = «al.hole()»\n", "assignment", "expression", "hole_call"),
    ("from astral_lsp import hole\nif «hole('c')»: pass\n", "condition", "expression", "hole_call"),
    ("from astral_lsp import hole as gap\nx = «gap(\n  'a'\n)»\n", "assignment", "expression", "hole_call"),
    ("from astral_lsp.runtime import hole\nx = «hole('a')»\n", "assignment", "expression", "hole_call"),
    ("def f(a):\n    «...»\n", "body", "statements", "ellipsis"),
    ("def f(a):\n    '''Doc.'''\n    «...  # words»\n", "body", "statements", "ellipsis"),
    ("def f(a):\n    # words\n    «?body»\n", "body", "statements", "question"),
    ("def f(a):«...»\n".replace(":«", ":« "), "body", "statements", "ellipsis"),
    ("async def f(a):\n\t«...»\n", "body", "statements", "ellipsis"),
    ("class A:\n    @property\n    def f(self):\n        «...»\n", "body", "statements", "ellipsis"),
    ("def f(a):\n    x = 1\n    «...»\n    return x\n", "statement", "statements", "ellipsis"),
    ("if a:\n    «??»\nelse:\n    x = 1\n", "statement", "statements", "question"),
    ("for a in b:\n    «__hole__»\n", "statement", "statements", "hole_name"),
    ("x = 1; «...»\n", "statement", "any", "ellipsis"),
    ("def f(a):\n    «raise NotImplementedError»\n", "body", "statements", "not_implemented"),
    (
        "def f(a):\n    'Doc.'\n    «raise NotImplementedError('x')»\n",
        "body",
        "statements",
        "not_implemented",
    ),
    (
        "class A:\n    def f(self):\n        «raise NotImplementedError()»\n",
        "body",
        "statements",
        "not_implemented",
    ),
    ("def f(a):\n    # TODO: write it\n    «pass»\n", "body", "statements", "pass_todo"),
    ("def f(a):\n    «pass  # FIXME later»\n", "body", "statements", "pass_todo"),
    ("def f(a):  # todo\n    «pass»\n", "body", "statements", "pass_todo"),
    ("if a:\n    «pass  # TODO»\n", "statement", "statements", "pass_todo"),
    # broken syntax elsewhere
    ("def g(:\n    pass\n\ndef f(a):\n    return «?x»\n", "return", "expression", "question"),
    ("x = = 1\ndef f(a):\n    «...»\n", "body", "statements", "ellipsis"),
    (
        "class A\n    def f(self):\n        if «?c»:\n            pass\n",
        "condition",
        "expression",
        "question",
    ),
    ("def f(a):\n    x = (1,\n    return «?y»\n", None, "expression", "question"),
    # line endings, tabs, marks, planes
    ("\ufeffx = «?a»\r\n", "assignment", "expression", "question"),
    ("\ufeff«?a»\r\n", "statement", "statements", "question"),
    ("def f():\r    «...»\rx = 1\r", "body", "statements", "ellipsis"),
    ("def f():\r\n\tif a:\r\n\t\t«...»\r\n", "statement", "statements", "ellipsis"),
    ("s = '😀𝒳'; x = «?a»  # 😀\n", "assignment", "expression", "question"),
    ("def 𝒳(é):\n    '😀'\n    return «...»\n", "return", "expression", "ellipsis"),
]


@pytest.mark.parametrize(("fixture", "kind", "category", "marker"), POSITIVE)
def test_is_a_hole(fixture: str, kind: str | None, category: str, marker: str) -> None:
    text, spans = unmark(fixture)
    holes = find_holes(text)
    assert [(hole.start, hole.end) for hole in holes] == spans
    (hole,) = holes
    assert (hole.category, hole.marker) == (category, marker)
    assert kind is None or hole.kind == kind
    assert hole.text == text[hole.start : hole.end]


NEGATIVE = [
    "x: tuple[int, ...] = ()\n",
    "def f(a: Callable[..., int]) -> tuple[str, ...]:\n    return ()\n",
    "X = Callable[..., int]\n",
    "type X = tuple[int, ...]\n",
    "x = a[...]\n",
    "x = a[..., 0]\n",
    "x = a[0, ..., 1:2]\n",
    "a[...] = 1\n",
    "class A(Generic[P, ...]):\n    x: int\n",
    "x = cast(Callable[..., int], f)\n",
    "if x is ...:\n    y = 1\n",
    "if x is not ...:\n    y = 1\n",
    "if ... is x:\n    y = 1\n",
    "if x in (None, ...):\n    y = 1\n",
    "def f(a=...):\n    if a is ...:\n        return 1\n",
    "def f(a: EllipsisType = ...):\n    return a\n",
    "x = type(...)\n",
    "T = TypeVar('T', default=...)\n",
    "class Missing(Exception): ...\n",
    "class Missing(Exception):\n    '''Doc.'''\n    ...\n",
    "from typing import overload\n@overload\ndef f(a: int) -> int: ...\n",
    "import typing as t\n@t.overload\ndef f(a: int = ...) -> int: ...\n",
    "class P(Protocol):\n    x: int = ...\n    def f(self) -> int: ...\n",
    "class P(Protocol[T]):\n    def f(self) -> int:\n        '''Doc.'''\n        ...\n",
    "class P(typing.Protocol):\n    def f(self) -> int:\n        raise NotImplementedError\n",
    "class A(ABC):\n    @abstractmethod\n    def f(self) -> int: ...\n",
    "class A:\n    @property\n    @abc.abstractmethod\n    def f(self):\n        raise NotImplementedError\n",
    "class A(ABC):\n    def f(self) -> int:\n        raise NotImplementedError\n",
    "class A(metaclass=abc.ABCMeta):\n    def f(self) -> int:\n        raise NotImplementedError\n",
    "class AbstractA:\n    def f(self) -> int:\n        raise NotImplementedError\n",
    "class ShapeBase:\n    def f(self) -> int:\n        raise NotImplementedError\n",
    "class A:\n  def f(self):\n    raise NotImplementedError\n\nclass B(A):\n  def f(self):\n    return 1\n",
    "if TYPE_CHECKING:\n    def f() -> int: ...\n",
    "if typing.TYPE_CHECKING:\n    ...\n",
    "from pydantic import Field\nclass A(BaseModel):\n    x: int = Field(..., gt=1)\n",
    "from pydantic import Field\nclass A(BaseModel):\n    x: int = Field(default=...)\n",
    "from hypothesis import given\n@given(...)\ndef test(a: int): return a\n",
    "from hypothesis import strategies as st\nx = st.builds(A, a=...)\n",
    "from typing import overload\n@overload  # type: ignore[override]\ndef f(a: int) -> int: ...\n",
    "from typing import Annotated\nA = Annotated[int, at.Timezone(...)]\n",
    "class A:\n    def pop(self):\n        raise NotImplementedError('use `add` instead')\n",
    "def f():\n    raise NotImplementedError('This should never happen')\n",
    "from fastapi import Query as Q\ndef f(a: int = Q(...)):\n    return a\n",
    "import typer\ndef f(a: int = typer.Option(...)):\n    return a\n",
    "def f(a):\n    raise NotImplementedError('a') from None\n",
    "def f(a):\n    if a:\n        raise NotImplementedError\n    return 1\n",
    "def f(a):\n    raise ValueError\n",
    "def f(a):\n    raise NotImplementedError('f is not supported here')\n",
    "class A:\n    def f(self):\n        raise NotImplementedError('must be overridden')\n",
    "def f(a):\n    x = 1\n    raise NotImplementedError\n",
    "def f(a):\n    pass\n",
    "def f(a):\n    x = 1  # TODO\n    pass\n",
    "def f(a):\n    '''Only a docstring.'''\n",
    "class A:\n    pass\n",
    "x = '?a ?? ... __hole__'\n",
    "x = '''\n?a\n...\n'''\n",
    "x = f'... {a:?>10} ??'\n",
    "x = b'??'\n",
    "x = r'(?P<name>...)(?:x)'\n",
    "# ?a ?? ... __hole__ TODO pass\nx = 1\n",
    "from ... import a\n",
    "from .. import a\nfrom ...b import c\n",
    "obj?\nobj??\n",
    "x = a ? b\n",
    "from m import __hole__\n",
    "def __hole__(): return 1\n",
    "x = self.__hole__\n",
    "def hole(a): return a\nx = hole('a')\n",
    "from other import hole\nx = hole('astral_lsp')\n",
    "import astral_lsp\nx = astral_lsp.fill('a')\n",
    "x = passing\nbypass = 1  # TODO pass\n",
    "",
    "\n",
    "\ufeff",
]


@pytest.mark.parametrize("text", NEGATIVE)
def test_is_no_hole(text: str) -> None:
    assert find_holes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "x: int = ...\n",
        "def f(a: int = ...) -> int: ...\n",
        "def f():\n    raise NotImplementedError\n",
        "x = ...\n",
    ],
)
def test_stub_files_have_only_explicit_holes(text: str) -> None:
    assert find_holes(text, stub=True) == []
    assert [hole.text for hole in find_holes(text + "y: int = ?y\n", stub=True)] == ["?y"]


def one(text: str) -> Hole:
    (hole,) = find_holes(text)
    return hole


def test_hint_is_marker_comment_docstring() -> None:
    hole = one("from astral_lsp import hole\ndef f():\n    'Doc.'\n    x = hole('first')  # second\n")
    assert hole.hint == "first\nsecond\nDoc."
    assert hole.comment == "first\nsecond"


def test_tool_comments_are_no_hint() -> None:
    assert one("x = ...  # type: ignore[assignment]\n").hint == ""
    assert one("x = ...  # noqa: E501\n").hint == ""
    assert one("x = ...  # '#' and the rest\n").hint == "'#' and the rest"
    assert one("f(..., '# not this')  # this\n").hint == "this"


def test_todo_comment_is_the_hint() -> None:
    hole = one("def f():\n    '''Doc.'''\n    # TODO: add\n    # both\n    pass\n")
    assert hole.hint == "TODO: add\nDoc."
    assert one("def f():\n    # both\n    # TODO: add\n    pass\n").comment == "TODO: add"


def test_name_scope_and_function() -> None:
    text = "class A:\n    @dec\n    async def f(self):\n        def g():\n            return ?total\n"
    hole = one(text)
    assert (hole.name, hole.scope) == ("total", "A.f.g")
    assert hole.function is not None
    assert text[hole.function.start : hole.function.end] == "def g():\n            return ?total"
    outer = one(text.replace("            return ?total", "            return 1\n        return ?x"))
    assert outer.function is not None
    assert text[outer.function.start :].startswith("@dec")


def test_scope_survives_broken_syntax() -> None:
    hole = one("class A:\n    def f(self, (:\n        x = [1,\n        return ?x\n")
    assert hole.scope == "A.f"
    assert hole.function is not None


def test_statement_hole_takes_the_whole_line() -> None:
    text = "def f():\n    ...  # add both\n    return x\n"
    hole = one(text)
    assert hole.text == "...  # add both"
    assert hole.indent == "    "
    assert hole.lead == ""


def test_body_on_the_header_line_gets_a_line_of_its_own() -> None:
    text = "class A:\r\n\tdef f(self): ...  # words\r\n"
    hole = one(text)
    assert (hole.lead, hole.indent, hole.category) == ("\r\n\t\t", "\t\t", "statements")
    filled = text[: hole.start] + hole.lead + "return 1" + text[hole.end :]
    assert filled == "class A:\r\n\tdef f(self):\r\n\t\treturn 1\r\n"


def test_ids_count_in_source_order() -> None:
    holes = find_holes("f(?a, ..., __hole__)\nx = ??\n")
    assert [(hole.id, hole.text) for hole in holes] == [(1, "?a"), (2, "..."), (3, "__hole__"), (4, "??")]


AT = [
    ("x = ?a$0bc\n", "?abc"),
    ("x = $0?abc\n", "?abc"),
    ("x = ?abc$0\n", "?abc"),
    ("$0x = ?abc\n", "?abc"),
    ("f(?a,$0 ?b)\n", None),
    ("f(?a, $0?b)\n", "?b"),
    ("x = 1$0\ny = ?a\n", None),
    ("def f():\n  $0  ...\n", "..."),
]


@pytest.mark.parametrize(("fixture", "expected"), AT)
def test_hole_at(fixture: str, expected: str | None) -> None:
    offset = fixture.index("$0")
    hole = hole_at(fixture.replace("$0", ""), offset)
    assert (hole.text if hole else None) == expected


SELECTIONS = [
    ("x = f(«a + 1», b)\n", "expression"),
    ("x = « a + 1 »\n", "expression"),
    ("x = «a» + 1\n", "expression"),
    ("x = a«.b» + 1\n", "any"),
    ("x = «a + 1\ny» = 2\n", "any"),
    ("def f():\n    «x = 1\n    return x»\n", "statements"),
    ("def f():\n«    x = 1\n»    return x\n", "statements"),
    ("def f():\n    «return x»  # why\n", "statements"),
    ("«def f():\n    return x»\n", "statements"),
    ("def f(«a»): pass\n", "any"),
    ("def f(a: «int»): pass\n", "expression"),
    ("def f(a):\n    «»\n", "statements"),
    ("x = f(«»)\n", "any"),
    ("x = (\n    «a»\n)\n", "expression"),
    ("x = a[«1:2»]\n", "any"),
    ("x = a[«1»]\n", "expression"),
    ("for x in y:«\n    pass»\n", "statements"),
]


@pytest.mark.parametrize(("fixture", "category"), SELECTIONS)
def test_selection(fixture: str, category: str) -> None:
    text, [(start, end)] = unmark(fixture)
    hole = hole_from_range(text, start, end)
    assert hole.category == category
    assert hole.marker == hole.kind == "selection"
    chosen = text[start:end].strip()
    assert hole.text == chosen
    assert text[hole.start : hole.end] == chosen


@pytest.mark.parametrize(("start", "end"), [(-1, 0), (2, 1), (0, 99)])
def test_ranges_outside_the_buffer_are_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="outside the buffer"):
        hole_from_range("x = 1\n", start, end)


def test_offsets_outside_the_buffer_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the buffer"):
        hole_at("x = 1\n", 7)
