"""Definitions elsewhere in the repository, as text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from astral_lsp.context.related import LONGEST, MAX_FILE_BYTES, Repository
from astral_lsp.holes.find import find_holes
from astral_lsp.holes.model import Span

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


# --- what is far away in the same file ----------------------------------------------------------------------

LONG = """\
class Basket:
    limit: int = 10

    def add(self, name: str, price: int) -> None:
        secret = 1

    def unrelated(self) -> None:
        return None


def cheapest(baskets: list[Basket]) -> Basket:
    return min(baskets)


{filler}
class Shop:
    def far(self, percent: float) -> int:
        secret = 2
        return 1

    def other(self) -> None:
        return None

{methods}
    def near(self, basket):
        {use}
"""


def far_related(use: str, types: dict[str, str] | None = None) -> str:
    filler = "".join(f"x{number} = {number}\n" for number in range(300))
    methods = "".join(f"    def m{number}(self):\n        return 1\n\n" for number in range(100))
    text = LONG.format(filler=filler, methods=methods, use=use)
    (hole,) = find_holes(text)
    near = Span(hole.start - 500, len(text))
    shown = Repository([]).related(text, hole, Path("m.py"), types=types, near=near)
    ast.parse(shown)
    assert "secret" not in shown
    return shown


def test_definitions_out_of_sight_are_shown() -> None:
    shown = far_related("price = cheapest(?basket)")
    assert "def cheapest(baskets: list[Basket]) -> Basket: ..." in shown
    assert "class Basket" not in shown


def test_members_of_the_own_class_are_shown_when_they_are_named_and_out_of_sight() -> None:
    shown = far_related("price = self.far(?percent) + self.m99()")
    assert shown == "class Shop:\n    def far(self, percent: float) -> int: ...\n"


def test_the_class_of_a_name_nearby_is_shown() -> None:
    shown = far_related("price = basket.add(?name)", {"basket": "Basket | None"})
    assert "    def add(self, name: str, price: int) -> None: ..." in shown
    assert "limit: int = 10" in shown


def test_a_large_class_keeps_to_its_share() -> None:
    fields = "".join(f"    def method_{number}(self, value: int) -> int: return 1\n" for number in range(99))
    text = f"class Large:\n    def _private(self): return 1\n{fields}" + "print()\n" * 500 + "y: Large = ?y\n"
    (hole,) = find_holes(text)
    near = Span(hole.start - 2000, len(text))
    shown = Repository([]).related(text, hole, Path("m.py"), expected="Large", near=near)
    assert len(shown) <= LONGEST + len("# in this module\n")
    assert "method_0" in shown
    assert "_private" not in shown
