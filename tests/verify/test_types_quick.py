"""σ and Γ after an edit inside a function: the same as from a whole check, without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from astral_lsp.holes.model import Span
from astral_lsp.workers.protocol import Analyse, HoleTypes, OpenTypes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")

BEFORE = """
    import json
    LIMIT: int = 3

    class Box:
        def __init__(self) -> None:
            self.size = 1

        def grow(self, by: int) -> str:
            step = by
            return $0

    def first(text: str) -> list[int]:
        found = [1]
        return $0

    async def second(names: dict[str, int]) -> None:
        for name in names:
            total = names[name]
        print($0)

    DEFAULT: float = $0
"""


class Desk:
    """A types session in this process and one file; counts the looks that needed no whole check."""

    def __init__(self, root: Path) -> None:
        from astral_lsp.workers.types.session import Session

        self.path = str(root / "a.py")
        self.session = Session(OpenTypes(str(root), sys.executable))

    def look(self, text: str, whole: bool = False) -> list[HoleTypes]:
        text = dedent(text)
        spans = []
        while "$0" in text:
            start = text.index("$0")
            text = f"{text[:start]}...{text[start + 2 :]}"
            spans.append(Span(start, start + 3))
        return self.session.analyse(Analyse(self.path, text, spans, [], [], whole)).holes

    def quick(self, text: str) -> list[HoleTypes] | None:
        """The answer, None when a whole check was made for it."""
        before = self.session.quick.looks
        found = self.look(text)
        return found if self.session.quick.looks > before else None


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """mypy allows one build a process, and a session changes into its workspace."""
    before = os.getcwd()
    made = Desk(tmp_path_factory.mktemp("quick"))
    yield made
    made.session.close()
    os.chdir(before)


@pytest.fixture
def desk(only: Desk) -> Desk:
    only.look(BEFORE, whole=True)
    return only


INSIDE = {
    "another type": ("found = [1]", "found = [str(n) for n in [1]]"),
    "a new name": ("step = by", "step = by\n            other = [step]"),
    "a line less": ("            total = names[name]\n", "            pass\n"),
    "a hole more": ("found = [1]", "found: list[int] = $0"),
    "a hole less": ("            return $0\n\n    def first", "            return ''\n\n    def first"),
    "a nested function": ("found = [1]", "def inner() -> int: return 1\n        found = [inner()]"),
    "a known attribute": ("step = by", "step = by + self.size"),
    "a docstring": ("found = [1]", '"""Text.\n\n        more\n        """\n        found = [1]'),
    "another placeholder": ("print($0)", "print( $0 )"),
    "a comment outside": ("    DEFAULT:", "    # set later\n    DEFAULT:"),
    "a line at the end of a function": ("        print($0)\n", "        print($0)\n        print(names)\n"),
    "nothing": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", INSIDE)
def test_an_edit_inside_a_function_is_looked_at_alone(desk: Desk, name: str) -> None:
    text = BEFORE.replace(*INSIDE[name], 1)
    found = desk.quick(text)
    if name == "nothing":  # the last check still holds
        assert found is None
        return
    assert found is not None
    assert found == desk.look(text, whole=True)


OUTSIDE = {
    "another annotation": ("LIMIT: int", "LIMIT: str"),
    "another head": ("text: str", "text: bytes"),
    "an import": ("import json", "import json, re"),
    "an import inside": ("found = [1]", "import re\n        found = [1]"),
    "a new attribute": ("step = by", "self.step = by"),
    "an attribute defined here": ("self.size = 1", "self.size = ''"),
    "a global": ("found = [1]", "global LIMIT\n        found = [1]"),
    "a class inside": ("found = [1]", "class Found: pass\n        found = [1]"),
    "another kind of function": ("found = [1]", "found = [1]\n        yield 3"),
    "the end of a function": ("        found = [1]\n", "        return []\n\n    def third(): pass\n"),
    "code outside": ("    DEFAULT:", "    LIMIT = 4\n    DEFAULT:"),
    "a type comment outside": ("    DEFAULT:", "    # mypy: disallow-any-expr\n    DEFAULT:"),
    "broken syntax": ("found = [1]", "found = [1"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_edit_that_reaches_out_needs_a_whole_check(desk: Desk, name: str) -> None:
    text = BEFORE.replace(*OUTSIDE[name], 1)
    assert text != BEFORE
    assert desk.quick(text) is None


def test_many_edits_in_a_row(desk: Desk) -> None:
    lines = ["found = [1]"]
    for number in range(5):
        lines.append(f"x{number} = len(found) + {number}")
        text = BEFORE.replace("found = [1]", "\n        ".join(lines))
        text = text.replace("total = names[name]", f"total = names[name] + {number}") if number == 4 else text
        found = desk.quick(text)
        if number == 4:  # two functions at once
            assert found is None
            continue
        assert found is not None
        assert f"x{number}" in {name.name for name in found[1].names}
    assert desk.look(text) == desk.look(text, whole=True)


def test_what_changes_elsewhere_is_seen(desk: Desk) -> None:
    desk.session.analyse(Analyse(str(Path(desk.path).with_name("b.py")), "B = 1\n", []))
    assert desk.quick(BEFORE.replace("found = [1]", "found = [2]")) is None


def test_holes_of_another_open_file_are_not_mixed_up(desk: Desk) -> None:
    first, second = desk.path, str(Path(desk.path).with_name("c.py"))
    other = "def g(wrong: bytes) -> bytes:\n    return $0\n"
    for _ in range(3):  # both files hold a hole of the same number, and one depends on the other
        desk.path = second
        desk.look(other)
        desk.path = first
        (found,) = desk.look("import c\nc.g(b'')\ndef f(right: int) -> int:\n    return $0\n")
        assert found.expected == "int"
        assert "right" in {name.name for name in found.names}
        other += "X = 1\n"
