"""Definitions elsewhere in the repository, as text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from astral_lsp.context.prompt import build_prompt
from astral_lsp.context.related import MAX_FILE_BYTES, Repository
from astral_lsp.holes.find import find_holes

MODELS = '''
from dataclasses import dataclass

@dataclass
class Item:
    """One thing.

    With more words.
    """

    price: int
    name: str = "x"

    def total(self, tax: float) -> float:
        """Long body."""
        secret = 1
        return secret

def load(
    path: str,  # where
    *,
    strict: bool = True,
) -> list[Item]:
    """Read items."""
    return []

RATE: float = 0.2
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("from shop.models import Item\n")
    (package / "models.py").write_text(MODELS)
    (package / "big.py").write_text("def big(): return 1\n" + "#" * MAX_FILE_BYTES)
    (package / "binary.py").write_bytes(b"\xff\xfe\x00")
    return tmp_path


def related(root: Path, text: str, budget: int = 1200, expected: str = "") -> str:
    (hole,) = find_holes(text)
    return Repository([root]).related(text, hole, root / "shop" / "use.py", budget=budget, expected=expected)


@pytest.mark.parametrize(
    "imports",
    ["from shop.models import Item, load, RATE", "from .models import Item, load, RATE"],
)
def test_shows_signatures_and_fields_but_no_bodies(root: Path, imports: str) -> None:
    shown = related(root, f"{imports}\ndef f(items: list[Item]):\n    return load(?x) * RATE\n")
    assert "price: int" in shown
    assert "def total(self, tax: float) -> float: ..." in shown
    assert "def load(path: str, *, strict: bool = True) -> list[Item]:" in shown
    assert "RATE: float = 0.2" in shown
    assert '"""One thing."""' in shown
    assert "secret" not in shown
    ast.parse(shown)


def test_follows_a_re_export(root: Path) -> None:
    assert "class Item:" in related(root, "from shop import Item\nx: Item = ?x\n")


def test_explains_the_expected_type_first(root: Path) -> None:
    text = "from shop.models import Item, load\nx = load(?x)\n"
    assert related(root, text, budget=210, expected="Item").count("class Item") == 1


def test_keeps_to_the_budget(root: Path) -> None:
    text = "from shop.models import Item, load\nx: Item = load(?x)\n"
    for budget in (0, 50, 120, 300, 2000):
        assert len(related(root, text, budget)) <= budget


def test_skips_what_it_should_not_read(root: Path) -> None:
    outside = root.parent / "outside.py"
    outside.write_text("def leak(): return 1\n")
    assert related(root, "from shop.big import big\nx = big(?x)\n") == ""
    assert related(root, "from shop.binary import a\nx = a(?x)\n") == ""
    assert related(root, "from ...outside import leak\nx = leak(?x)\n") == ""
    assert related(root, "from json import loads\nx = loads(?x)\n") == ""
    assert related(root, "from shop.missing import a\nx = a(?x)\n") == ""


def test_sees_a_changed_file(root: Path) -> None:
    repository = Repository([root])
    text = "from shop.models import load\nx = load(?x)\n"
    (hole,) = find_holes(text)
    use = root / "shop" / "use.py"
    assert "strict" in repository.related(text, hole, use)
    (root / "shop" / "models.py").write_text("def load(other: int) -> None: return None\n")
    assert "other: int" in repository.related(text, hole, use)


def test_short_files_go_into_the_prompt_whole() -> None:
    text = "import os\n\n\ndef f(a):\n    return ?x\n"
    (hole,) = find_holes(text)
    prompt = build_prompt(text, hole.start, hole.end)
    assert prompt.prefix == text[: hole.start]
    assert prompt.suffix == text[hole.end :]


def test_long_files_keep_imports_and_headers() -> None:
    filler = "".join(f"def g{number}(a):\n    return a + {number}\n\n" for number in range(300))
    near = "".join(f"        total = total + items[{number}]\n" for number in range(80))
    text = (
        f"import os\nimport sys\nfrom a import (\n    helper,\n)\n\n{filler}"
        f"class Shop:\n    def total(self, items):\n{near}        return helper(?x)\n"
    )
    (hole,) = find_holes(text)
    prompt = build_prompt(text, hole.start, hole.end, prefix_chars=2000)
    assert len(prompt.prefix) <= 2000
    assert prompt.prefix.endswith("        return helper(")
    assert "class Shop:" in prompt.prefix
    assert "def total(self, items):" in prompt.prefix
    assert "from a import (\n    helper,\n)" in prompt.prefix
    assert "import os" not in prompt.prefix
