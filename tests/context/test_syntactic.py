"""σ and Γ from syntax alone. Each fixture has one hole."""

from __future__ import annotations

import pytest

from astral_lsp.context.bindings import bindings_anywhere, bindings_before
from astral_lsp.context.environment import environment
from astral_lsp.context.syntactic import expected_type
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.tree import parse
from astral_lsp.workers.protocol import HoleTypes, Name

EXPECTED = [
    ("if ?x: pass\n", "bool"),
    ("while not ?x: pass\n", "bool"),
    ("assert ?x, 'a'\n", "bool"),
    ("a = 1 if ?x else 2\n", "bool"),
    ("[a for a in b if ?x]\n", "bool"),
    ("for a in ?x: pass\n", "Iterable[object]"),
    ("async def f():\n    async for a in ?x: pass\n", "AsyncIterable[object]"),
    ("[a for a in ?x]\n", "Iterable[object]"),
    ("f(*?x)\n", "Iterable[object]"),
    ("f(**?x)\n", "Mapping[str, object]"),
    ("with ?x: pass\n", "AbstractContextManager[object]"),
    ("with ?x as a: pass\n", "AbstractContextManager[object]"),
    ("async def f():\n    async with ?x as a: pass\n", "AbstractAsyncContextManager[object]"),
    ("raise ?x\n", "BaseException | type[BaseException]"),
    ("raise a from ?x\n", "BaseException | None"),
    ("try: pass\nexcept ?x as e: pass\n", "type[BaseException] | tuple[type[BaseException], ...]"),
    ("async def f():\n    await ?x\n", "Awaitable[object]"),
    ("@?x\ndef f(): return 1\n", "Callable[..., object]"),
    ("a = f'{?x}'\n", "object"),
    ("a: ?x = 1\n", "type"),
    ("a: dict[str, int] = ?x\n", "dict[str, int]"),
    ("a: 'Later' = (?x)\n", "Later"),
    ("a = ?x\n", None),
    ("A: TypeAlias = ?x\n", "type"),
    ("a: typing.Final[int] = ?x\n", "int"),
    ("a: Final = ?x\n", None),
    ("class A:\n    a: ClassVar[dict[str, int]] = ?x\n", "dict[str, int]"),
    ("def f() -> list[int]:\n    return ?x\n", "list[int]"),
    ("def f() -> list[int]:\n    return a if b else ?x\n", "list[int]"),
    ("def f() -> int:\n    def g():\n        return ?x\n", None),
    ("def f() -> Iterator[tuple[int, str]]:\n    yield ?x\n", "tuple[int, str]"),
    ("def f() -> Generator[int, None, str]:\n    yield 1\n    return ?x\n", "str"),
    ("def f(a: int = ?x): return a\n", "int"),
    ("def g(a: int, b: 'A'): pass\ng(1, ?x)\n", "A"),
    ("def g(a: int, *b: str): pass\ng(1, 2, ?x)\n", "str"),
    ("def g(a, *, b: str = ''): pass\ng(1, b=?x)\n", "str"),
    ("def g(a: int): pass\ng(*a, ?x)\n", None),
    ("class A:\n    def __init__(self, b: int): pass\nA(?x)\n", "int"),
    ("class A:\n    def m(self, b: int): pass\n    def n(self): self.m(?x)\n", "int"),
    ("class A:\n    @staticmethod\n    def m(b: int): pass\n    def n(self): self.m(?x)\n", "int"),
    ("def f() -> int:\n    '''Doc.'''\n    ...\n", "int"),
    ("def f() -> int: ...\n", "int"),
    ("def f() -> int:\n    a = 1\n    ...\n    return a\n", None),
    ("def f(a: ?x, b): pass\n", "type"),
    ("a + ?x\n", None),
]


@pytest.mark.parametrize(("text", "expected"), EXPECTED)
def test_expected_type(text: str, expected: str | None) -> None:
    (hole,) = find_holes(text)
    assert expected_type(parse(text), hole) == expected


NAMES = [
    # (text, bound before the hole, of those that follow never bound there)
    ("import os.path, sys as s\nfrom a import b as c\nx = ?x\n", "os s c", "sys b path a x"),
    ("def f(a, b: int = 1, *c, d, **e):\n    return ?x\n", "a b c d e f", ""),
    ("x = 1\ndef f():\n    return ?x\nz = 2\n", "x f z", ""),
    ("def f():\n    a = 1\n    b = ?x\n    c = 3\n", "a f", "b c"),
    ("for i, (j, *k) in ?x: pass\n", "", "i j k"),
    ("for i, (j, *k) in y: ?x\n", "i j k", ""),
    ("with a as b, c() as (d, e):\n    ?x\n", "b d e", "a c"),
    ("try: pass\nexcept E as e:\n    ?x\n", "e", "E"),
    ("[?x for a in b for c in a]\n", "a c", "b"),
    ("y = [a for a in b]\n?x\n", "y", "a"),
    ("f = lambda u, v=1: ?x\n", "u v f", ""),
    ("if (n := g()): ?x\n", "n", "g"),
    ("match p:\n    case [a, *b] | {'k': c, **d} if ?x: pass\n", "a b c d", "p"),
    ("match p:\n    case P(q=r) as w: ?x\n", "r w", "P q"),
    ("class A:\n    k = 1\n    m = ?x\n", "k", "m self.k"),
    (
        "class A:\n    k = 1\n    def f(self):\n        self.z = 2\n        return ?x\n",
        "self self.k self.z",
        "k",
    ),
    (
        "def f():\n    g = 1\n    class A:\n        c = 1\n        def m(self): return ?x\n",
        "f g A self.c",
        "c",
    ),
]


@pytest.mark.parametrize(("text", "bound", "free"), NAMES)
def test_names_before(text: str, bound: str, free: str) -> None:
    (hole,) = find_holes(text)
    names = set(bindings_before(parse(text), hole).names)
    assert set(bound.split()) <= names
    assert not set(free.split()) & names


def test_names_anywhere_include_later_ones() -> None:
    text = "def f():\n    while a:\n        b = ?x\n        c = 1\n"
    (hole,) = find_holes(text)
    assert {"b", "c", "f"} <= set(bindings_anywhere(parse(text), hole).names)


def test_types_that_are_written_down() -> None:
    text = (
        "import os\nLIMIT = 3\nclass Item: pass\n"
        "def f(a: 'Item', *rest: int, **kw):\n"
        "    x: list[str] = []\n    y = Item()\n    z = a == 1\n    return ?q\n"
    )
    (hole,) = find_holes(text)
    types = {name.name: (name.type, name.reach) for name in bindings_before(parse(text), hole).names.values()}
    assert types["LIMIT"] == ("int", "global")
    assert types["Item"] == ("type[Item]", "global")
    assert types["rest"] == ("tuple[int, ...]", "argument")
    assert types["kw"] == ("dict[str, Any]", "argument")
    assert types["x"] == ("list[str]", "local")
    assert types["z"] == ("bool", "local")
    assert types["y"] == ("", "local")  # what is in scope of another block is not looked up
    assert types["os"] == ("Module", "import")
    assert types["f"][0].startswith("def (")


def test_mypy_has_the_first_word() -> None:
    text = "def f(a, b: int) -> int:\n    return ?x\n"
    (hole,) = find_holes(text)
    known = HoleTypes("builtins.int", [Name("b", "int", "argument", True), Name("a", "Any", "argument")])
    both = environment(text, hole, known)
    assert (both.expected, both.source) == ("builtins.int", "mypy")
    assert [name.name for name in both.names] == ["b", "a", "f"]
    alone = environment(text, hole)
    assert (alone.expected, alone.source) == ("int", "syntax")
    assert [name.name for name in alone.names if name.fits] == ["b"]
    assert "mypy" in alone.note


def test_names_that_only_mypy_can_write_are_left_out() -> None:
    text = "x = ?x\n"
    (hole,) = find_holes(text)
    said = HoleTypes(None, [Name("_Wrapper@16", "type", "global"), Name("self.a", "int", "self")])
    assert [name.name for name in environment(text, hole, said).names] == ["self.a"]


def test_syntax_fills_in_where_mypy_has_no_context() -> None:
    text = "def f(a: bool):\n    if ?x: return 1\n"
    (hole,) = find_holes(text)
    joined = environment(text, hole, HoleTypes(None, [], "no context"))
    assert (joined.expected, joined.source, joined.note) == ("bool", "syntax", "no context")
    assert environment(text, hole, HoleTypes("Any", [])).expected == "bool"


def test_star_import_makes_the_environment_incomplete() -> None:
    text = "from os import *\nx = ?x\n"
    (hole,) = find_holes(text)
    assert not environment(text, hole).complete


@pytest.mark.parametrize(
    "text", ["def f(:\n  x = ?q\n", "class A\n  def f(self):\n    return ?q\n", "((((?q"]
)
def test_broken_files_still_have_names(text: str) -> None:
    (hole,) = find_holes(text)
    environment(text, hole)
