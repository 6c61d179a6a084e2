"""The stop rule: which ends a stream could have, and which of them the syntax allows."""

from __future__ import annotations

import pytest
from astral_model.engine import Category
from astral_model.stop import Frame, Stream, cuts, has_left, overlap


def frame(marked: str, category: Category, indent: str = "") -> Frame:
    """The frame of the hole that ``$0`` stands for."""
    before, after = marked.split("$0")
    return Frame(before, after, category, indent)


@pytest.mark.parametrize(
    ("marked", "text", "fits"),
    [
        ("x = $0\n", "a + b", True),
        ("x = $0\n", "a +", False),
        ("x = $0\n", "", False),
        ("x = $0\n", " a", False),
        ("x = $0\n", "1\ny = 2", False),
        ("x = 2 * $0\n", "a + b", False),  # would change what is multiplied
        ("x = 2 * $0\n", "(a + b)", True),
        ("x = $0\n", "...", False),  # another hole
        ("f($0)\n", "a, b", False),  # two arguments, not one expression
        ("f($0)\n", "i for i in x", True),
        ("f($0, 1)\n", "i for i in x", False),
        ("f($0)\n", "a=b", False),
        ("f($0)\n", "*a", False),
        ("def f():\n    return $0\n", "a, b", True),
        ("if $0:\n    pass\n", "x and (y or z)", True),
        ("if $0:\n    pass\n", "x: print()", False),
        ("x = ??\ny = $0\n", "a", True),  # another hole in the file
        ("x = ?other\ny = $0\n", "a)", False),
        ("x[$0]\n", "1:", True),
        ("x[$0]\n", "a:b:-1", True),
        ("'é', x[$0]\n", ":2", True),
        ("x[$0, 1]\n", ":", True),
        ("x[1:$0]\n", "2:3", False),  # half of a slice
        ("x[$0]\n", "1:2, 3", False),
        ("f($0)\n", "1:2", False),
        ("def broken(:\n    pass\ny = $0\n", "a", True),  # broken elsewhere: the text alone is judged
        ("def broken(:\n    pass\ny = $0\n", "a b", False),
    ],
)
def test_expressions(marked: str, text: str, fits: bool) -> None:
    assert frame(marked, "expression").allows(text) is fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("return 1", True),
        ("if a:\n        return 1\n    return 2", True),
        ("return 1\n\n\ndef g():\n    pass", False),  # leaves the block
        ("if a:", False),
        ("x = (1 +\n  2)", False),
        ("x = 1\n", False),
        ('return """a\nb"""', True),
        ("raise NotImplementedError", False),  # another hole
        ('raise NotImplementedError("one day")', False),
        ("...", False),
        ("if a:\n        return 1\n    raise NotImplementedError", True),
    ],
)
def test_statements(text: str, fits: bool) -> None:
    assert frame("def f(a):\n    $0\n\n\nx = 1\n", "statements", "    ").allows(text) is fits


@pytest.mark.parametrize(
    ("marked", "text", "fits"),
    [
        ("for i$0(x):\n    pass\n", " in range", True),
        ("for i$0(x):\n    pass\n", " range", False),
        ("def f():\n    a = 1$0    return a\n", "\n    b = 2\n", True),
        ("def f():\n    a = 1$0    return a\n", "\n    b = 2", False),
    ],
)
def test_any_text_that_lets_the_file_parse(marked: str, text: str, fits: bool) -> None:
    assert frame(marked, "any").allows(text) is fits


@pytest.mark.parametrize(
    ("marked", "text", "buried"),
    [
        ("def f(l):\n    m = 0\n$0m\n", "    return max(l)\n\n", False),  # at the top level: runs
        ("def f(l):\n    $0\n    return l\n", "return 1", True),
        ("def f(l):\n    $0\n    return l\n", "if l:\n        return 1", False),
        ("def f(l):\n    $0\n    return l\n", "if l:\n        return 1\n    raise E", True),
        ("def f(l):\n    for x in l:\n        $0\n    return l\n", "continue", False),
        ("def f(l):\n    for x in l:\n        $0\n        x()\n", "continue", True),
        ("def f(l):\n    ans = $0 return ans\n", "1\n    #", True),
        ("def f(l):\n    ans = $0  # why\n    return ans\n", "1", False),
        ("def f(l):\n    ans = $0, 2\n    return ans\n", "'#'", False),
        ("def f(l):\n    return 1\n    $0\n    x()\n", "y()", False),  # it was so before
        ("def f(l):\n    $0\n", "return 1", False),
        ("def f(l):\n    return $0\n    x()\n", "1", False),  # so it was before
    ],
)
def test_a_text_that_buries_what_follows(marked: str, text: str, buried: bool) -> None:
    assert frame(marked, "any").buries(text) is buried


BROKEN = "def broken(:\n    pass\n\n\n"


@pytest.mark.parametrize(
    ("marked", "text", "fits"),
    [
        (BROKEN + "def f(a):\n    return $0\n", "a + 1", True),
        (BROKEN + "def f(a):\n    return $0\n", "a +", False),
        ("def f(a):\n    ret$0 + 1\n\n\n" + BROKEN, "urn a", True),
        ("def f(a):\n    ret$0 + 1\n\n\n" + BROKEN, "urn a)", False),
        ("@cached\n@wraps(f)\nclass A:\n    def f(self, $0\n        pass\n" + BROKEN, "a):", True),
        ("x = [\n    1,\n    $0\n]\n" + BROKEN, "2, 3", True),
        ("x = [\n    1,\n    $0\n]\n" + BROKEN, "2, 3]", False),
        (BROKEN + "y = $0\nz = 1\n", "1 2", False),
    ],
)
def test_a_selection_in_a_file_broken_elsewhere(marked: str, text: str, fits: bool) -> None:
    assert frame(marked, "any").allows(text) is fits


def test_long_files_are_judged_by_the_definition_around_the_hole() -> None:
    filler = "".join(f"def f{n}(a: int) -> int:\n    return a + {n}\n\n\n" for n in range(600))
    long = frame(filler + "@deco\ndef g(a):\n    return $0\n\n\n" + filler, "expression")
    assert len(long.before) + len(long.after) < 200
    assert long.allows("a")
    assert not long.allows("a +")


def test_unknown_names() -> None:
    inside = frame("import os\ndef f(a):\n    return $0\n", "expression")
    names = frozenset({"a", "helper"})
    assert inside.unknown_names("helper(a) + len(os.path.sep)", names) == set()
    assert inside.unknown_names("[q for q in a] + nowhere", names) == {"nowhere"}
    assert inside.unknown_names("lambda z: z + elsewhere", names) == {"elsewhere"}


def test_names_that_the_rest_waits_for() -> None:
    waiting = frame("def f(xs):\n    for $0:\n        print(i, x)\n", "any")
    assert waiting.unresolved("i, x in enumerate(xs)") == 0
    assert waiting.unresolved("j, x in enumerate(xs)") == 1
    assert waiting.unresolved("j, y in enumerate(zs)") == 3
    filler = "".join(f"def f{n}(a: int) -> int:\n    return a + {n}\n\n\n" for n in range(600))
    assert frame(filler + "def g(a):\n    return $0\n", "expression").unresolved("f7(a) + b") == 1


def test_leaving_the_block_is_seen() -> None:
    inside = frame("def f():\n    a = 1\n    $0\n", "any")
    assert inside.leaves("return a\n\n\nprint(f())\n")
    assert not inside.leaves("return (\n)\n")
    assert frame("def f():\n    a = 1\n$0", "any").leaves("print(f())\n")
    assert not frame("a = 1\n$0\n", "any").leaves("b = 2\nc = 3\n")


@pytest.mark.parametrize(
    ("text", "hollow"),
    [
        ('"""Do."""', True),
        ("pass", True),
        ("...", True),
        ("return 1", False),
        ("f()", False),
        ("def g():\n        return 1", True),
        ("def g():\n        return g()", True),
        ("import os", True),
        ("import os.path as p\n    pass", True),
        ("import os\n    return os.sep", False),
        ("def g():\n        return 1\n    return g", False),
        ("@register\n    def g():\n        return 1", False),
    ],
)
def test_statements_that_do_nothing(text: str, hollow: bool) -> None:
    assert frame("def f():\n    $0\n", "statements", "    ").hollow(text) is hollow
    assert not frame("x = $0\n", "expression").hollow(text)


@pytest.mark.parametrize(
    ("file", "hollow"),
    [
        ("def f(\n    a,\n) -> None:\n    $0\n", True),
        ("def f():\n    if a:\n        $0\n", True),
        ("def f():\n    if a:\n        $0\n    return g\n", False),
        ("def f():\n    $0\n\n\ng()\n", True),
        ("class A:\n    def f(self):\n        $0\n\n    def h(self):\n        g()\n", True),
        ("class A:\n    $0\n", False),
        ("class A:\n    # def no():\n    x = 1\n    $0\n", False),
        ("if a:\n    $0\n", False),
    ],
)
def test_a_definition_that_nothing_names_is_hollow_in_a_function_only(file: str, hollow: bool) -> None:
    line = next(line for line in file.splitlines() if "$0" in line)
    indent = line[: line.index("$0")]
    assert frame(file, "statements", indent).hollow(f"def g():\n{indent}    return 1") is hollow


PIECES = [b" if", b" x", b":\n", b" yy", b"zz", "é".encode()[:1], "é".encode()[1:]]


def stream(*tokens: int, forced: str = "", ended: bool = False) -> Stream:
    ends = [-float(n) for n in range(len(tokens) + int(ended))]
    return Stream(forced, list(tokens), [-1.0] * len(tokens), ends, ended)


def test_every_token_boundary_is_a_possible_end() -> None:
    found = cuts(stream(0, 1, 2, ended=True), "", PIECES)
    assert [cut.text for cut in found] == ["", " if", " if x", " if x:\n"]
    assert [cut.tokens for cut in found] == [0, 1, 2, 3]
    assert [cut.log_prob for cut in found] == [0, -1, -2, -3]
    assert [cut.end_log_prob for cut in found] == [0, -1, -2, -3]
    assert [cut.ended for cut in found] == [False, False, False, True]


def test_an_end_inside_a_token_needs_the_suffix_to_follow() -> None:
    found = cuts(stream(0, 3, 4), "yzz = 1", PIECES)
    inner = [cut for cut in found if cut.end_log_prob is None and cut.rest]
    assert [(cut.text, cut.overlap) for cut in inner] == [(" if y", 3)]


def test_the_healed_part_is_no_end_and_is_taken_off() -> None:
    assert [cut.text for cut in cuts(stream(0, 1, forced=" i"), "", PIECES)] == ["f", "f x"]
    assert cuts(stream(1, forced=" i"), "", PIECES) == []


def test_no_end_inside_a_character() -> None:
    assert [cut.text for cut in cuts(stream(5, 6), "", PIECES)] == ["", "é"]


def test_overlap_counts_what_is_repeated() -> None:
    assert overlap("ab return x", 2, " return y") == 8
    assert overlap("ab", 2, "x") == 0


@pytest.mark.parametrize(
    ("marked", "category", "text", "gone"),
    [
        ("f($0)\n", "expression", "a[0]", False),
        ("f($0)\n", "expression", "g(a))", True),
        ("f($0)\n", "expression", "g(\n", False),
        ("x = $0\n", "expression", "a\n", True),
        ("x = $0\n", "expression", "')'", False),
        ("def f():\n    $0\n", "statements", "a = 1\n    b", False),
        ("def f():\n    $0\n", "statements", "a = 1\nb", True),
        ("def f():\n    $0\n    return total / count  # mean\n", "any", "a = 1\n    return total /", False),
        (
            "def f():\n    $0\n    return total / count  # mean\n",
            "any",
            "a = 1\n    return total / count  #",
            True,
        ),
        ("def f():\n    $0\n", "any", "return 1\n\n\nprint", True),
    ],
)
def test_a_stream_past_its_hole_is_noticed(marked: str, category: Category, text: str, gone: bool) -> None:
    at = marked.index("$0")
    indent = "    " if category == "statements" else ""
    assert has_left(text, marked[at + 2 :], frame(marked, category, indent)) is gone
