"""The tests oracle on workspaces of all shapes: what it runs, what it says, and that it changes nothing."""

# ruff: noqa: E501 (tables of sources read better unwrapped)

from __future__ import annotations

import asyncio
import sys
import venv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from astral_lsp.holes.model import Hole, Span
from astral_lsp.verify.tests import UNTRUSTED, TestsOracle
from tests.verify.guest_project import Project, digest

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform == "win32", reason="the guest forks"),
]

ADD = "def add(a, b):\n    return $0\n"
TEST_ADD = """
    from m import add
    def test_small(): assert add(1, 2) == 3
    def test_words(): assert add("a", "b") == "ab"
    def test_other(): assert True
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[TestsOracle]:
    oracle = TestsOracle()
    yield oracle
    await oracle.close()


@pytest_asyncio.fixture(loop_scope="module")
async def oracle(shared: TestsOracle, tmp_path: Path) -> TestsOracle:
    opened = await shared.open(tmp_path, sys.executable, trusted=True)
    assert isinstance(opened, dict), opened
    return shared


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


# --- what counts as a test ----------------------------------------------------------------------------------


async def test_doctests_of_the_function_are_tests(oracle: TestsOracle, project: Project) -> None:
    hole = project.hole(
        "m.py",
        '''
        def double(x):
            """Twice.

            >>> double(2)
            4
            >>> double("a")
            'aa'
            """
            return $0

        def broken():
            """
            >>> broken()
            'nobody asked for this one'
            """
        ''',
    )
    good, bad = await hole.run(oracle, ["x * 2", "x * 3"])
    assert (good.status, good.count, good.detail) == ("passed", 2, "2 doctest examples")
    assert bad.status == "failed"
    assert bad.detail == "doctest of double: double(2): expected 4, got 6"


async def test_hand_written_doctests_are_read_kindly(oracle: TestsOracle, project: Project) -> None:
    hole = project.hole(
        "m.py",
        '''
        def pair(x):
            """
            >>>pair(1)
            [1,1]
            >>> pair("a")
            ["a", "a"]
            """
            return $0
        ''',
    )
    good, bad = await hole.run(oracle, ["[x, x]", "(x, x)"])
    assert (good.status, good.count) == ("passed", 2)
    assert good.detail == "2 doctest examples; 2 equal by value, not by text"
    assert bad.status == "failed"


async def test_only_tests_that_reach_the_hole_count(oracle: TestsOracle, project: Project) -> None:
    project.write({"tests/test_m.py": TEST_ADD})
    hole = project.hole("m.py", ADD)
    good, bad = await hole.run(oracle, ["a + b", "b + a"])
    assert (good.status, good.count, good.detail) == ("passed", 2, "2 tests")
    assert bad.status == "failed"
    assert bad.detail.startswith("test_words: assert 'ba' == 'ab'")
    assert bad.findings[0].code == "tests/test_m.py::test_words"


async def test_no_test_reaches(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": "def test_it(): assert True\n"})
    hole = project.hole("m.py", ADD)
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert (verdict.status, verdict.applies) == ("not_run", False)
    assert verdict.detail == "no test reaches this hole"


async def test_a_finding_points_into_the_fill(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": "from m import f\ndef test_f(): assert f(0) == 1\n"})
    hole = project.hole("m.py", "def f(x):\n    $0\n")
    fill = "y = x + 1\n    z = y // x\n    return z"
    (verdict,) = await hole.run(oracle, [fill])
    (finding,) = verdict.findings
    assert verdict.detail.startswith("test_f: ZeroDivisionError")
    assert finding.span is not None
    assert fill[finding.span.start : finding.span.end] == "z = y // x"
    assert finding.line == 3
    assert finding.confidence > 0.5


async def test_fixtures_conftest_parameters_classes_and_asyncio(
    oracle: TestsOracle, project: Project
) -> None:
    project.write(
        {
            "pytest.ini": "[pytest]\npython_files = check_*.py\naddopts = -q -x\nasyncio_mode = auto\n",
            "conftest.py": "import pytest\n@pytest.fixture(scope='session')\ndef two(): yield 2\n",
            "checks/conftest.py": "import pytest\n@pytest.fixture\ndef three(two): return two + 1\n",
            "checks/check_m.py": """
                import asyncio, unittest, pytest, m
                def test_fixture(two, three, tmp_path, monkeypatch, capsys): assert m.add(two, three) == 5
                @pytest.mark.parametrize("a", [1, 2, 3])
                def test_many(a): assert m.add(a, a) == 2 * a
                class TestClass:
                    def test_it(self): assert m.add("x", "y") == "xy"
                class Old(unittest.TestCase):
                    def setUp(self): self.x = 1
                    def test_old(self): self.assertEqual(m.add(self.x, 1), 2)
                async def test_async():
                    await asyncio.sleep(0)
                    assert m.add(1, 1) == 2
            """,
        }
    )
    hole = project.hole("m.py", ADD)
    good, bad = await hole.run(oracle, ["a + b", "a + b if a != 3 else 0"])
    assert (good.status, good.count) == ("passed", 7), good
    assert bad.detail.startswith("test_many[3]: assert 0 == (2 * 3)"), bad


# --- where things are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "tests", "line"),
    [
        ("m.py", "test_m.py", "from m import add"),
        ("src/pkg/m.py", "tests/test_m.py", "from pkg.m import add"),
        ("pkg/sub/m.py", "pkg/sub/test_m.py", "from .m import add"),
        ("pkg/m.py", "tests/unit/test_m.py", "from pkg import add"),
        ("random.py", "test_m.py", "import importlib.util as u\nfrom pathlib import Path\n"
         "s = u.spec_from_file_location('rnd', Path(__file__).parent / 'random.py')\n"
         "mod = u.module_from_spec(s); s.loader.exec_module(mod); add = mod.add"),
    ],
)  # fmt: skip
async def test_layouts(oracle: TestsOracle, project: Project, module: str, tests: str, line: str) -> None:
    if "pkg" in module:
        project.write({str(Path(module).parent / "__init__.py"): ""})
    if "sub" in module:
        project.write({"pkg/__init__.py": ""})
    if line == "from pkg import add":
        project.write({"pkg/__init__.py": "from pkg.m import add\n"})
    project.write({tests: f"{line}\ndef test_add(): assert add(2, 2) == 4\n"})
    hole = project.hole(module, ADD)
    good, bad = await hole.run(oracle, ["a + b", "a - b"])
    assert (good.status, good.count) == ("passed", 1), good
    assert bad.status == "failed"


async def test_the_buffer_counts_and_not_the_file(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": "from m import add, new\ndef test_new(): assert new() == 7\n"})
    project.write({"m.py": "raise RuntimeError('the saved file')\n"})
    hole = project.hole("m.py", ADD + "def new(): return add(3, 4)\n", save=False)
    good, bad = await hole.run(oracle, ["a + b", "a * b"])
    assert (good.status, bad.status) == ("passed", "failed")


async def test_a_buffer_that_was_never_saved(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": "from fresh.m import add\ndef test_new(): assert add(1, 1) == 2\n"})
    hole = project.hole("fresh/m.py", ADD, save=False)
    good, bad = await hole.run(oracle, ["a + b", "a * b"])
    assert (good.status, bad.status) == ("passed", "failed"), good
    assert not (project.root / "fresh").exists()


async def test_a_hole_in_a_test_file(oracle: TestsOracle, project: Project) -> None:
    project.write({"conftest.py": ""})
    hole = project.hole("test_it.py", "def test_it():\n    x = $0\n    assert x == 4\n")
    good, bad = await hole.run(oracle, ["2 + 2", "2 + 3"])
    assert (good.status, good.count) == ("passed", 1), good
    assert bad.detail.startswith("test_it: assert 5 == 4")


async def test_programs_started_by_a_test_see_the_fill(oracle: TestsOracle, project: Project) -> None:
    project.write(
        {
            "test_m.py": """
            import subprocess, sys, m
            def test_main():
                assert m.add(1, 2) == 3
                out = subprocess.run([sys.executable, "m.py"], capture_output=True, text=True)
                assert out.stdout == "5\\n", out
            """
        }
    )
    hole = project.hole("m.py", ADD + "if __name__ == '__main__': print(add(2, 3))\n")
    (good, bad) = await hole.run(oracle, ["a + b", "3"])
    assert good.status == "passed", good
    assert bad.status == "failed"


@pytest.mark.parametrize(
    "text",
    [
        "def add(a, b):\r\n    # é\r\n    return $0\r\n",
        "\ufeffdef add(a, b):\n    return $0\n",
        "def add(a, b):\n\treturn $0",
        "s = '😀'; x = '😀'\ndef add(a, b):\n    return ('😀', $0)[1]\n",
        "# coding: utf-8\nfrom __future__ import annotations\ndef add(a: Nope, b) -> Nope:\n    return $0\n",
    ],
)
async def test_odd_texts(oracle: TestsOracle, project: Project, text: str) -> None:
    project.write({"test_m.py": TEST_ADD})
    hole = project.hole("m.py", text)
    good, bad = await hole.run(oracle, ["a + b", "a.nope"])
    assert (good.status, good.count) == ("passed", 2), good
    assert bad.findings[0].span == Span(0, 6), bad


# --- other holes, other troubles ----------------------------------------------------------------------------


async def test_other_holes_do_not_stop_the_module(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD})
    text = "def add(a, b):\n    return ...\n\ndef sub(a, b):\n    return ?rest\n\n"
    text += "def body():\n    pass  # TODO\n"
    holes = [
        Span(text.index(part), text.index(part) + len(part)) for part in ("...", "?rest", "pass  # TODO")
    ]
    good, bad = await oracle.run(
        project.root / "m.py", text, holes[0], ["a + b", "0"], holes, budget_ms=60_000
    )
    assert (good.status, good.count, bad.status) == ("passed", 2, "failed"), good


async def test_a_test_that_reaches_another_hole_decides_nothing(
    oracle: TestsOracle, project: Project
) -> None:
    project.write({"test_m.py": "import m\ndef test_f(): assert m.f(1) == 3\n"})
    hole = project.hole("m.py", "def f(x):\n    y = $0\n    return g(y)\n\ndef g(x):\n    return $1\n")
    (verdict,) = await hole.run(oracle, ["x + 1"])
    assert (verdict.status, verdict.detail) == ("not_run", "reaches another unfilled hole at line 6")
    first = project.hole("m.py", "def f(x):\n    y = $1\n    return $0\n")
    (verdict,) = await first.run(oracle, ["y + 1"])
    assert (verdict.status, verdict.detail) == ("not_run", "reaches another unfilled hole at line 2")


async def test_a_hole_saved_in_another_file_decides_nothing_either(
    oracle: TestsOracle, project: Project
) -> None:
    project.write(
        {
            "other.py": "TABLE = [__hole__]\ndef more(n):\n    return __hole__\n",
            "test_m.py": "import m\ndef test_f(): assert m.f(1) == 3\n",
        }
    )
    hole = project.hole("m.py", "from other import TABLE, more\ndef f(x):\n    return $0\n")
    called, indexed, fine, wrong = await hole.run(oracle, ["more(x)", "TABLE[0]", "x + 2", "x"])
    for verdict in (called, indexed):
        assert (verdict.status, verdict.detail) == (
            "not_run",
            "reaches another unfilled hole in another file",
        )
    assert fine.status == "passed"
    assert wrong.status == "failed"


async def test_a_test_that_fails_anyway_is_not_held_against_a_fill(
    oracle: TestsOracle, project: Project
) -> None:
    project.write(
        {
            "test_m.py": """
            from m import add
            def test_fails_anyway():
                assert 0
                add(1, 1)
            def test_add(): assert add(1, 2) == 3
            """,
            "test_broken.py": "import nothing_of_that_name\n",
        }
    )
    hole = project.hole("m.py", ADD)
    good, bad = await hole.run(oracle, ["a + b", "a"])
    assert (good.status, good.count) == ("passed", 1), good
    assert "test_broken.py cannot be collected" in good.detail
    assert bad.status == "failed"


async def test_a_flaky_test_is_named_and_not_held_against_a_fill(
    oracle: TestsOracle, project: Project
) -> None:
    project.write(
        {
            "test_m.py": """
            import os
            from m import add
            def test_flips():
                assert add(1, 2) == 3
                assert os.urandom(1)[0] % 8
            def test_add(): assert add(1, 2) == 3
            """
        }
    )
    hole = project.hole("m.py", ADD)
    for _ in range(80):
        (verdict,) = await hole.run(oracle, ["a + b"])
        assert verdict.status == "passed"
        if "test_flips is flaky" in verdict.detail:
            assert verdict.count == 1
            break
    else:
        pytest.fail("80 runs of a test that fails one time in eight and it was not noticed")
    (verdict,) = await hole.run(oracle, ["a"])
    assert verdict.status == "failed"


async def test_a_tests_own_errors_are_told(oracle: TestsOracle, project: Project) -> None:
    project.write({"conftest.py": "1 / 0\n", "test_m.py": TEST_ADD})
    hole = project.hole("m.py", ADD)
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert verdict.status in ("unavailable", "not_run")
    assert "division by zero" in verdict.detail


async def test_skipped_tests_are_no_tests(oracle: TestsOracle, project: Project) -> None:
    project.write(
        {
            "test_m.py": """
            import pytest, m
            @pytest.mark.skip
            def test_skipped(): m.add(1, 2)
            @pytest.mark.xfail
            def test_xfail(): assert m.add(1, 2) == 4
            """
        }
    )
    hole = project.hole("m.py", ADD)
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert verdict.status == "not_run"


async def test_saved_edits_are_seen(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD, "helper.py": "LIMIT = 3\n"})
    hole = project.hole("m.py", "from helper import LIMIT\n" + ADD)
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert verdict.count == 2
    project.write({"test_m.py": TEST_ADD + "    def test_more(): assert add(5, 5) == 10\n"})
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert verdict.count == 3
    project.write({"test_n.py": "from m import add\ndef test_n(): assert add(0, 1) == 2\n"})
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert verdict.detail.startswith("test_n: assert 1 == 2")


# --- troubles of the environment ----------------------------------------------------------------------------


async def test_untrusted_starts_nothing(project: Project) -> None:
    oracle = TestsOracle()
    answer = await oracle.open(project.root, "/nowhere/python", trusted=False)
    assert not isinstance(answer, dict)
    hole = project.hole("m.py", ADD)
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert (verdict.status, verdict.detail) == ("not_run", UNTRUSTED)


async def test_no_interpreter(project: Project) -> None:
    oracle = TestsOracle()
    answer = await oracle.open(project.root, "/nowhere/python", trusted=True)
    assert not isinstance(answer, dict)
    assert answer.status == "unavailable"
    (verdict,) = await project.hole("m.py", ADD).run(oracle, ["a + b"])
    assert verdict.status == "unavailable"
    assert "/nowhere/python" in verdict.detail


async def test_no_pytest_runs_doctests_and_says_so(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False)
    oracle = TestsOracle()
    try:
        opened = await oracle.open(tmp_path, str(home / "bin" / "python"), trusted=True)
        assert isinstance(opened, dict)
        assert opened["pytest"] == ""
        project = Project(tmp_path)
        project.write({"test_m.py": TEST_ADD})
        (verdict,) = await project.hole("m.py", ADD).run(oracle, ["a + b"])
        assert verdict.status == "unavailable"
        assert "pip install pytest" in verdict.detail
        text = 'def one():\n    """\n    >>> one()\n    1\n    """\n    return $0\n'
        good, bad = await project.hole("m.py", text).run(oracle, ["1", "2"])
        assert (good.status, bad.status) == ("passed", "failed")
        assert "pytest is not installed" in good.detail
    finally:
        await oracle.close()


async def test_cancelling_leaves_the_oracle_usable(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD})
    hole = project.hole("m.py", ADD)
    running = asyncio.ensure_future(hole.run(oracle, ["[x for x in iter(int, 1)]"], timeout_ms=50_000))
    await asyncio.sleep(1.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (verdict,) = await hole.run(oracle, ["a + b"])
    assert verdict.status == "passed"


async def test_a_budget_that_is_spent(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD})
    hole = project.hole("m.py", ADD)
    await hole.run(oracle, ["a + b"])
    loop = "[x for x in iter(int, 1)]"
    first, second, third = await hole.run(oracle, [loop, loop, "a + b"], timeout_ms=600, budget_ms=900)
    assert first.status == "failed"
    assert "no end after 600 ms" in first.detail
    assert {second.status, third.status} == {"not_run"}


async def test_nothing_to_do(oracle: TestsOracle, project: Project) -> None:
    hole = project.hole("m.py", ADD)
    assert await hole.run(oracle, []) == []


async def test_accepts_holes(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD})
    asked = project.hole("m.py", ADD)
    hole = Hole(1, "return", "ellipsis", "expression", asked.span.start, asked.span.end, "...", "    ")
    before = digest(project.root)
    (verdict,) = await oracle.run(asked.path, asked.text, hole, ["a + b"], [hole], budget_ms=60_000)
    assert verdict.status == "passed"
    assert digest(project.root) == before


DOCTESTS = {
    "no output shown": (">>> f(1)", "return x + 1", "passed", "no output to compare"),
    "names that the docstring lacks": (">>> f(1)\n    2\n    >>> shop.buy(f(1))\n    3", "return x + 1", "passed", ""),
    "names that the fill lacks": (">>> f(1)\n    2", "return y", "failed", "NameError"),
    "an address": (">>> f(object)()\n    <object object at 0x7f00>", "return x", "passed", "by value"),
    "an ellipsis": (">>> f([1, 2])\n    [...2]", "return x", "passed", ""),
    "an int that must be an int": (">>> f(1)\n    [1, (2, 3)]", "return [1.0, (2, 3)]", "failed", "[1.0"),
    "a bool that must be an int": (">>> f(1)\n    {1: 1}", "return {True: 1}", "failed", "True"),
    "another order": (">>> f(1)\n    {1: {'b', 'a'}, 2: 3}", "return {2: 3, 1: {'a', 'b'}}", "passed", "by value"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCTESTS)
async def test_docstrings_that_nobody_ran_before(oracle: TestsOracle, project: Project, name: str) -> None:
    examples, fill, status, words = DOCTESTS[name]
    hole = project.hole("m.py", f'def f(x):\n    """Do it.\n\n    {examples}\n    """\n    $0\n')
    (verdict,) = await hole.run(oracle, [fill])
    assert verdict.status == status, verdict
    assert words in verdict.detail, verdict


async def test_doctest_options_of_the_project(oracle: TestsOracle, project: Project) -> None:
    text = 'def f(x):\n    """\n    >>> print(f(1))\n    1 2\n    """\n    $0\n'
    (verdict,) = await project.hole("m.py", text).run(oracle, ["return '1   2'"])
    assert verdict.status == "failed", verdict
    project.write({"pytest.ini": "[pytest]\ndoctest_optionflags = NORMALIZE_WHITESPACE\n", "n.py": ""})
    (verdict,) = await project.hole("m.py", text).run(oracle, ["return '1   2'"])
    assert verdict.status == "passed", verdict


async def test_subtests(oracle: TestsOracle, project: Project) -> None:
    project.write(
        {
            "test_m.py": """
            import unittest
            from m import double
            class TestDouble(unittest.TestCase):
                def test_all(self):
                    for x in range(3):
                        with self.subTest(x=x):
                            self.assertEqual(double(x), 2 * x)
            """
        }
    )
    hole = project.hole("m.py", "def double(x):\n    return $0\n")
    good, bad = await hole.run(oracle, ["x + x", "x * x"])
    assert good.status == "passed", good
    assert bad.status == "failed", bad
    assert "1 != 2" in bad.detail, bad


async def test_a_pytest_that_cannot_start_is_no_verdict(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": TEST_ADD, "pytest.ini": "[pytest]\naddopts = --no-such-option\n"})
    (verdict,) = await project.hole("m.py", "def add(a, b):\n    return $0\n").run(oracle, ["a + b"])
    assert verdict.status == "unavailable", verdict
    assert "--no-such-option" in verdict.detail, verdict


async def test_a_package_that_pytest_itself_has_imported(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": "import iniconfig\ndef test_it(): assert iniconfig.IniConfig\n"})
    (verdict,) = await project.hole("iniconfig.py", "def f():\n    $0\n").run(oracle, ["return 1"])
    assert (verdict.status, verdict.applies) == ("not_run", True), verdict
    assert "another file" in verdict.detail, verdict


def many_tests(named: int) -> dict[str, str]:
    """40 files of tests, each by way of another module; the first ``named`` speak of the function as well."""
    files = {"shop.py": "import m\ndef buy(n): return m.price(n)\n"}
    for number in range(40):
        name = "# price\n" if number < named else ""
        files[f"tests/test_{number}.py"] = (
            f"{name}import shop\ndef test_it(): assert shop.buy({number}) == {number + 1}\n"
        )
    return files


async def test_with_many_test_files_those_that_name_it_count(oracle: TestsOracle, project: Project) -> None:
    project.write(many_tests(named=2))
    good, bad = await project.hole("m.py", "def price(n):\n    return $0\n").run(oracle, ["n + 1", "1"])
    assert (good.status, good.count) == ("passed", 2), good
    assert good.detail == "2 tests; 38 test files that do not name it left out"
    assert bad.status == "failed", bad


async def test_when_none_names_it_all_are_tried(oracle: TestsOracle, project: Project) -> None:
    project.write(many_tests(named=0))
    good, bad = await project.hole("m.py", "def price(n):\n    return $0\n").run(oracle, ["n + 1", "1"])
    assert (good.status, good.count, good.detail) == ("passed", 40, "40 tests"), good
    assert bad.status == "failed", bad


async def test_a_fill_that_parses_but_does_not_compile(oracle: TestsOracle, project: Project) -> None:
    project.write({"test_m.py": "import m\ndef test_it(): assert m.x == 1\n"})
    good, bad = await project.hole("m.py", "x = 1\n$0\n").run(oracle, ["y = 2", "return 1"])
    assert good.status == "passed", good
    assert bad.status == "failed", bad
    assert "outside function" in bad.detail


IMPORTERS = {
    "a conftest": {"conftest.py": "from m import add\n", "test_m.py": "def test_it(): import m; assert m.add(1, 2) == 3\n"},
    "a conftest that uses a name": {"conftest.py": "import m\nm.add\n", "test_m.py": "def test_it(): import m; assert m.add(1, 2) == 3\n"},
    "one of two test files": {"test_m.py": "from m import add\ndef test_it(): assert add(1, 2) == 3\n",
                              "test_n.py": "import m\ndef test_it(): assert m.one() == 1\n"},
    "a test file that uses a name": {"test_m.py": "import m\nadd = m.add\ndef test_it(): assert add(1, 2) == 3\n",
                                     "test_n.py": "import m\ndef test_it(): assert m.one() == 1\n"},
}  # fmt: skip


@pytest.mark.parametrize("name", IMPORTERS)
async def test_a_fill_that_breaks_an_import_fails(oracle: TestsOracle, project: Project, name: str) -> None:
    project.write(IMPORTERS[name])
    hole = project.hole("m.py", "$0\ndef one(): return 1\n")
    fills = ["def add(a, b): return a + b", "raise OSError('no')", "def other(a, b): return a + b", "1 / 0"]
    good, *bad = await hole.run(oracle, fills)
    assert good.status == "passed", good
    assert [verdict.status for verdict in bad] == ["failed"] * 3, bad
    assert "no" in bad[0].detail
    assert "add" in bad[1].detail
