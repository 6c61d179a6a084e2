"""A graft and an import from nothing must agree; what cannot be grafted is imported, and still right."""

# ruff: noqa: E501 (a table of sources reads better unwrapped)

from __future__ import annotations

import ast
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from astral_lsp.verify.tests import TestsOracle
from astral_lsp.workers.process import WorkerProcess
from astral_lsp.workers.protocol import OpenTests
from astral_lsp.workers.pytest_guest.graft import Graft
from astral_lsp.workers.pytest_guest.reach import MARK_CALL
from astral_lsp.workers.pytest_guest.text import Span, around, baseline
from tests.verify.guest_project import OPEN_SECONDS, Project, open_guest

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform == "win32", reason="the guest forks"),
]

# name -> (module with a hole, body of the test, fills that pass, fills that fail)
CASES: dict[str, tuple[str, str, list[str], list[str]]] = {
    "function": ("def f(x):\n    return $0\n", "assert m.f(2) == 4", ["x + 2", "(lambda: x * 2)()"], ["x", "y"]),
    "method": (
        "class C:\n    k = 1\n    def f(self, x):\n        return $0\n    def g(self): return 9\n",
        "assert m.C().f(2) == 3", ["x + self.k", "super().__sizeof__() and x + 1", "__class__.k + x"], ["x", "self.g()"],
    ),
    "method that calls super": (
        "class A:\n    def f(self): return 1\nclass C(A):\n    def f(self):\n        y = super().f()\n        return $0\n",
        "assert m.C().f() == 2", ["y + 1", "super().f() + 1"], ["y", "self.f()"],
    ),
    "private names": (
        "class C:\n    def __init__(self): self.__x = 5\n    def f(self):\n        return $0\n",
        "assert m.C().f() == 5", ["self.__x", "self._C__x"], ["self._x"],
    ),
    "property": (
        "class C:\n    @property\n    def f(self):\n        return $0\n", "assert m.C().f == 4", ["4"], ["5", "self.f"],
    ),
    "static and class methods": (
        "class C:\n    k = 2\n    @staticmethod\n    def s(x): return x\n    @classmethod\n    def f(cls, x):\n"
        "        return $0\n", "assert m.C.f(2) == 4", ["cls.s(x) * cls.k"], ["cls.f2(x)"],
    ),
    "decorated with wraps": (
        "import functools\ndef twice(g):\n    @functools.wraps(g)\n    def w(*a): return 2 * g(*a)\n    return w\n"
        "@twice\ndef f(x):\n    return $0\n", "assert m.f(2) == 8", ["x * 2"], ["x"],
    ),
    "decorated without wraps": (
        "def twice(g):\n    def w(*a): return 2 * g(*a)\n    return w\n@twice\n@twice\ndef f(x):\n    return $0\n",
        "assert m.f(2) == 8", ["x"], ["x * 2"],
    ),
    "cached": (
        "import functools\n@functools.lru_cache\ndef f(x):\n    return $0\n", "assert m.f(2) == m.f(2) == 4",
        ["x * 2"], ["x", "[x]"],
    ),
    "registered": (
        "TABLE = {}\ndef register(g):\n    TABLE[g.__name__] = g\n@register\ndef f(x):\n    return $0\n",
        "assert m.TABLE['f'](1) == 1", ["x"], ["x + 1"],
    ),
    "single dispatch": (
        "import functools\n@functools.singledispatch\ndef f(x): return 0\n@f.register\ndef _(x: int):\n    return $0\n"
        "@f.register\ndef _(x: str):\n    return 's'\n", "assert m.f(1) == 1 and m.f('') == 's'", ["x"], ["x + 1"],
    ),
    "context manager": (
        "import contextlib\n@contextlib.contextmanager\ndef f():\n    yield $0\n",
        "with m.f() as v: assert v == 1", ["1"], ["2", "1; yield 2"],
    ),
    "generator by the fill": (
        "def f(n):\n    $0\n", "assert list(m.f(2)) == [0, 1]",
        ["yield from range(n)", "return range(n)", "for i in range(n):\n        yield i"], ["yield n", "return n"],
    ),
    "coroutine": (
        "import asyncio\nasync def f(x):\n    $0\n", "import asyncio; assert asyncio.run(m.f(1)) == 1",
        ["return x", "await asyncio.sleep(0)\n    return x"], ["return await x", "yield x"],
    ),
    "nested function": (
        "def f(x):\n    k = 3\n    def g(y):\n        return $0\n    return g(x)\n", "assert m.f(1) == 4",
        ["y + k", "x + k"], ["y", "k"],
    ),
    "nested class": (
        "class A:\n    class B:\n        def f(self): return $0\n    def g(self): return self.B().f()\n",
        "assert m.A().g() == 1", ["1"], ["2"],
    ),
    "more statements": (
        "import math\ndef f(x):\n    $0\n    return y\n\ndef g(): return f(1)\n", "assert m.g() == 2",
        ["y = x + 1", "y = x\n    y += 1", "import math as mm\n    y = 1 + int(mm.sqrt(x))",
         "def h(): return x + 1\n    y = h()", "if x:\n        y = 2\n    else:\n        y = 3"],
        ["x = 1", "y = x", "global g\n    y = 2\n    g = None\n    return 3"],
    ),
    "the fill leaves its function": (
        "def f(x):\n    $0\n\ndef g(): return f(1)\n", "assert m.g() == 2",
        ["return x + h()\n\ndef h():\n    return 1", "return x + K\n\nK = 1"], ["return x + h()\n\ndef h():\n    return 2"],
    ),
    "the fill adds to its class": (
        "class C:\n    def f(self):\n        $0\n    def z(self): return 0\n", "assert m.C().f() == 2",
        ["return self.h()\n    def h(self):\n        return 2"], ["return self.h()\n    def h(self):\n        return 3"],
    ),
    "global of the module": (
        "COUNT = 1\ndef f():\n    global COUNT\n    COUNT = $0\n    return COUNT\n", "assert m.f() == 2 == m.COUNT",
        ["COUNT + 1"], ["COUNT"],
    ),
    "module level": ("LIMIT = $0\ndef f(): return LIMIT\n", "assert m.f() == 3", ["3", "1 + 2"], ["4", "nope", "1 / 0"]),
    "class level": ("class C:\n    a = 1\n    b = $0\n", "assert m.C.b == 2", ["a + 1"], ["a", "self.a"]),
    "default": ("def f(x=$0):\n    return x\n", "assert m.f() == 3", ["3"], ["4"]),
    "decorator": ("import functools\n@$0\ndef f(x): return x\n", "assert m.f.cache_info", ["functools.cache"], ["print"]),
    "used at import": ("def f(x):\n    return $0\nTABLE = [f(i) for i in range(3)]\n", "assert m.TABLE == [0, 2, 4]",
                       ["x * 2"], ["x", "1 / x"]),
    "in a condition of the module": (
        "import sys\nif sys.version_info > (3,):\n    def f(x):\n        return $0\n", "assert m.f(1) == 2", ["x + 1"], ["x"],
    ),
    "lambda": ("f = lambda x: $0\n", "assert m.f(1) == 2", ["x + 1"], ["x"]),
    "match": (
        "def f(x):\n    match x:\n        case [a, b]:\n            return $0\n        case _: return None\n",
        "assert m.f([1, 2]) == 3 and m.f(1) is None", ["a + b"], ["a - b"],
    ),
    "f-string": ("def f(x):\n    return f'<{$0}>'\n", "assert m.f(1) == '<1>'", ["x", "str(x)"], ["x + 1"]),
    "annotations": (
        "from __future__ import annotations\ndef f(x: Undefined) -> Undefined:\n    $0\n", "assert m.f(1) == 1",
        ["y: AlsoUndefined = x\n    return y"], ["return 0"],
    ),
    "early return": (
        "def f(x):\n    if x < 0: return []\n    $0\n", "assert m.f(1) == [1]; assert m.f(-1) == []", ["return [x]"],
        ["yield x", "return [0]"],
    ),
}  # fmt: skip


METACLASS = "class Meta(type):\n    def __new__(cls, name, bases, body):\n        body.pop('__classcell__', None)\n        return super().__new__(cls, name, bases, body)\n"
CASES["a metaclass that drops the cell"] = (
    METACLASS + "class C(metaclass=Meta):\n    def f(self, x):\n        return $0\n", "assert m.C().f(1) == 2", ["x + 1"], ["x"],
)  # fmt: skip
CASES["a named tuple"] = (
    "from typing import NamedTuple\nclass C(NamedTuple):\n    x: int\n    def f(self):\n        return $0\n", "assert m.C(1).f() == 2",
    ["self.x + 1"], ["self.x"],
)  # fmt: skip


async def test_super_in_a_fill_needs_no_import() -> None:
    source = "class A:\n    def f(self): return 1\nclass C(A):\n    def f(self): $0\n"
    at = source.index("$0")
    buffer = around(source.replace("$0", "..."), Span(at, at + 3), [])
    plain = baseline(buffer)
    assert plain is not None
    tree = ast.parse(plain)
    graft = Graft(buffer, plain, tree, "m.py")
    code = compile(tree, "m.py", "exec")
    namespace: dict[str, Any] = {MARK_CALL: lambda: None}
    exec(code, namespace)
    graft.bind(code)
    for fill, value in (("return super().f() + 1", 2), ("return __class__.__name__", "C"), ("return 5", 5)):
        graft.apply(fill)
        assert namespace["C"]().f() == value


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def oracle() -> AsyncIterator[TestsOracle]:
    oracle = TestsOracle()
    yield oracle
    await oracle.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def guest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerProcess]:
    guest = await open_guest(tmp_path_factory.mktemp("first"))
    yield guest
    await guest.close()


@pytest.mark.parametrize("name", CASES)
async def test_graft_and_import_agree(
    oracle: TestsOracle, guest: WorkerProcess, tmp_path: Path, name: str
) -> None:
    text, check, right, wrong = CASES[name]
    project = Project(tmp_path)
    project.write({"test_m.py": f"import m\ndef test_it():\n    {check}\n"})
    hole = project.hole("m.py", text)
    await oracle.open(tmp_path, sys.executable, trusted=True)
    await guest.call(OpenTests(str(tmp_path)), timeout=OPEN_SECONDS)
    expected = ["passed"] * len(right) + ["failed"] * len(wrong)
    grafted = await hole.run(oracle, right + wrong)
    assert [verdict.status for verdict in grafted] == expected, grafted
    imported = await hole.run_imported(guest, right + wrong)
    # without a baseline, a fill that makes the function a generator is never seen to run: not passed, that is
    # all
    kinds = [(verdict.status == "passed") for verdict in imported]
    assert kinds == [status == "passed" for status in expected], imported
    assert [verdict.count for verdict in grafted] == [verdict.count for verdict in imported]


async def test_a_caller_that_misses_the_hole_must_still_pass(oracle: TestsOracle, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(
        {
            "test_m.py": "import m\ndef test_hit(): assert list(m.f(1)) == [1]\n"
            "def test_miss(): assert m.f(-1) is None\n"
        }
    )
    hole = project.hole("m.py", "def f(x):\n    if x < 0: return None\n    $0\n")
    await oracle.open(tmp_path, sys.executable, trusted=True)
    good, bad = await hole.run(oracle, ["return [x]", "yield x"])
    assert (good.status, good.count) == ("passed", 1)
    assert bad.status == "failed"
    assert "test_miss" in bad.detail
