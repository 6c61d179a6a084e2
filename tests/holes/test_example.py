"""The example that the README starts with: six kinds of holes, all solvable, each judged by its own tests."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from astral_lsp.holes.find import find_holes
from astral_lsp.holes.mask import neutralise
from astral_lsp.holes.model import Hole, replace_span

EXAMPLE = Path(__file__).parents[2] / "examples" / "orders"
SOURCE = (EXAMPLE / "orders.py").read_text("utf-8")
FILLS = {
    "Order.total": ("[line.total() for line in self.lines]", "test_total"),
    "Order.add": ("line.product == product", "test_add"),
    "Order.largest_line": ("lambda line: line.total()", "test_largest_line"),
    "Order.product_names": ("return [line.product for line in self.lines]", "test_product_names"),
    "unpaid": ("[order for order in orders if not order.paid]", "test_unpaid"),
    "format_price": ('return f"{cents / 100:.2f} EUR"', ""),
}


def filled(holes: list[Hole]) -> str:
    text = SOURCE
    for hole in reversed(holes):
        text = replace_span(text, hole.span, FILLS[hole.scope][0])
    return text


def pytest_passes(folder: Path, source: str, choose: str) -> bool:
    shutil.copy(EXAMPLE / "test_orders.py", folder)
    (folder / "orders.py").write_text(source, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", choose, "test_orders.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False).returncode == 0


def doctests_pass(folder: Path, source: str) -> bool:
    path = folder / "orders_doctest.py"
    path.write_text(source, "utf-8")
    spec = importlib.util.spec_from_file_location("orders_doctest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["orders_doctest"] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        result = doctest.testmod(module, verbose=False, report=False)
    finally:
        del sys.modules["orders_doctest"]
    return result.attempted >= 2 and result.failed == 0


def test_six_kinds_of_holes() -> None:
    holes = find_holes(SOURCE)
    assert [hole.scope for hole in holes] == list(FILLS)
    assert [hole.kind for hole in holes] == ["assignment", "condition", "argument", "body", "return", "body"]
    assert [hole.marker for hole in holes].count("not_implemented") == 1
    assert all(hole.hint for hole in holes)
    ast.parse(SOURCE)


def test_all_filled_passes_tests_doctests_and_mypy(tmp_path: Path) -> None:
    source = filled(find_holes(SOURCE))
    assert find_holes(source) == []
    assert pytest_passes(tmp_path, source, "test")
    assert doctests_pass(tmp_path, source)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "orders.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("scope", [scope for scope in FILLS if FILLS[scope][1]])
def test_each_hole_is_judged_by_tests_that_need_no_other(scope: str, tmp_path: Path) -> None:
    holes = find_holes(SOURCE)
    (hole,) = [hole for hole in holes if hole.scope == scope]
    fill, choose = FILLS[scope]
    assert not pytest_passes(tmp_path, SOURCE, choose)
    others = neutralise(SOURCE[: hole.start], [other for other in holes if other.end < hole.start])
    assert others.text.count("\n") == SOURCE[: hole.start].count("\n")
    assert pytest_passes(tmp_path, replace_span(SOURCE, hole.span, fill), choose)


def test_the_doctests_judge_the_function_body(tmp_path: Path) -> None:
    (hole,) = [hole for hole in find_holes(SOURCE) if hole.scope == "format_price"]
    assert not doctests_pass(tmp_path, SOURCE)
    assert doctests_pass(tmp_path, replace_span(SOURCE, hole.span, FILLS["format_price"][0]))
