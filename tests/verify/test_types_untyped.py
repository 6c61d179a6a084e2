"""Functions without annotations: what the user's own mypy would not report is not held against a fill."""

from __future__ import annotations

from pathlib import Path

import pytest

from astral_lsp.report import Verdict
from astral_lsp.verify.types import TypesOracle
from tests.verify.test_types_projects import PYTHON, judge, lay, statuses

UNTYPED = "def f(n):\n    return $0\n"
WRONG = "len(3)"


async def verdicts(root: Path, text: str, *fills: str) -> list[Verdict]:
    """Verdicts from a fresh oracle."""
    oracle = TypesOracle()
    try:
        assert await oracle.open(str(root), PYTHON, False) == ""
        return await judge(oracle, root / "a.py", text, *fills)
    finally:
        await oracle.close()


async def test_an_error_in_an_untyped_function_is_shown_and_not_held_against_the_fill(tmp_path: Path) -> None:
    good, wrong = await verdicts(tmp_path, UNTYPED, "len(n)", WRONG)
    assert good.status == "passed"
    assert (wrong.status, wrong.applies) == ("not_run", False)
    assert "does not check this function" in wrong.detail
    assert 'Argument 1 to "len"' in wrong.detail
    assert wrong.findings[0].span is not None


ASKED_FOR = {
    "by name": {"mypy.ini": "[mypy]\ncheck_untyped_defs = True\n"},
    "by strictness": {"mypy.ini": "[mypy]\nstrict = True\ndisallow_untyped_defs = False\n"},
    "for this module": {"mypy.ini": "[mypy]\n[mypy-a]\ncheck_untyped_defs = True\n"},
}


@pytest.mark.parametrize("name", ASKED_FOR)
async def test_who_asks_for_untyped_functions_gets_them_checked(tmp_path: Path, name: str) -> None:
    lay(tmp_path, ASKED_FOR[name])
    assert await statuses(tmp_path, "a.py", UNTYPED, WRONG) == ["failed"]


async def test_a_comment_in_the_file_asks_too(tmp_path: Path) -> None:
    text = "# mypy: check-untyped-defs\n" + UNTYPED
    assert await statuses(tmp_path, "a.py", text, WRONG) == ["failed"]


async def test_one_module_left_alone(tmp_path: Path) -> None:
    lay(tmp_path, {"mypy.ini": "[mypy]\ncheck_untyped_defs = True\n[mypy-a]\ncheck_untyped_defs = False\n"})
    assert await statuses(tmp_path, "a.py", UNTYPED, WRONG) == ["not_run"]
    assert await statuses(tmp_path, "b.py", UNTYPED, WRONG) == ["failed"]


HELD = {
    "a typed function beside an untyped one": "def g(n):\n    n\ndef f(n: int) -> int:\n    return $0\n",
    "a typed function in an untyped one": "def g(n):\n    def f(n: int) -> int:\n        return $0\n    f\n",
    "the module": "def g(n):\n    return n\nx: int = $0\n",
    "a default": "def g(n: int = $0):\n    return n\n",
}


@pytest.mark.parametrize("name", HELD)
async def test_what_the_users_mypy_reports_is_held_against_the_fill(tmp_path: Path, name: str) -> None:
    assert await statuses(tmp_path, "a.py", HELD[name], "''", "1") == ["failed", "passed"]


async def test_an_untyped_function_in_a_typed_one_is_left_alone(tmp_path: Path) -> None:
    text = "def f(n: int) -> int:\n    def g(m):\n        return $0\n    return n\n"
    assert await statuses(tmp_path, "a.py", text, WRONG, "m") == ["not_run", "passed"]


async def test_an_attribute_that_only_an_untyped_method_defines_has_no_type(tmp_path: Path) -> None:
    text = (
        "class A:\n    def __init__(self):\n        self.x = 1\n    def f(self) -> str:\n        return $0\n"
    )
    (loose, bad) = await verdicts(tmp_path, text, "self.x", "1")
    assert (loose.status, bad.status) == ("passed", "failed")
    assert "with check_untyped_defs mypy would say" in loose.detail


async def test_what_mypy_says_only_at_last_counts_beside_untyped_methods(tmp_path: Path) -> None:
    text = (
        "class A:\n    n = ''\n    def g(self):\n        pass\n"
        "    def f(self, d: dict[str, tuple[str, str]]) -> None:\n"
        "        a, self.b = d[$0.n]\n        self.c = a\n"
    )
    assert await statuses(tmp_path, "a.py", text, "self", "a") == ["passed", "failed"]


async def test_an_error_elsewhere_that_an_untyped_function_causes_counts(tmp_path: Path) -> None:
    text = "def g(n):\n    $0\n\nx: int = ''\n"
    assert await statuses(tmp_path, "a.py", text, "pass", "yield") == ["passed", "passed"]
    text = "$0\ndef f() -> int:\n    return g()\n"
    fills = ["def g():\n    return len(3)\n", "def g() -> str:\n    return ''\n"]
    assert await statuses(tmp_path, "a.py", text, *fills) == ["passed", "failed"]
