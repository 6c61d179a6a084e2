"""Typed projects, generated: one module of about 300 lines, and 50 files that import each other."""

from __future__ import annotations

import random
from pathlib import Path

_HEAD = '''"""Generated inventory and report code."""
from __future__ import annotations

import json
import logging
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Literal, Mapping, Optional, Protocol, TypedDict, TypeVar
{imports}

log = logging.getLogger(__name__)
T = TypeVar("T")
K = TypeVar("K")

'''
_BLOCK = """
class Row{i}(TypedDict):
    name: str
    qty: int
    price: float
    tag: Literal["a", "b"]


class Sized{i}(Protocol):
    def size(self) -> int: ...


@dataclass
class Item{i}:
    name: str
    qty: int = 0
    price: float = 0.0
    tags: list[str] = field(default_factory=list)
    parent: Optional["Item{i}"] = None

    def size(self) -> int:
        return self.qty * len(self.tags)

    def total(self, tax: float = 0.2) -> float:
        base = self.qty * self.price
        if self.parent is not None:
            base += self.parent.total(tax)
        return base * (1 + tax)

    def to_row(self) -> Row{i}:
        return {{"name": self.name, "qty": self.qty, "price": self.price, "tag": "a"}}


class Store{i}:
    def __init__(self, items: Iterable[Item{i}] = ()) -> None:
        self._items: dict[str, Item{i}] = {{it.name: it for it in items}}
        self.hits: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Item{i}]:
        yield from self._items.values()

    def add(self, item: Item{i}) -> None:
        if item.name in self._items:
            raise KeyError(item.name)
        self._items[item.name] = item
        self.hits[item.name] += 1

    def get(self, name: str, default: Optional[Item{i}] = None) -> Optional[Item{i}]:
        self.hits[name] += 1
        return self._items.get(name, default)

    def by_tag(self) -> dict[str, list[Item{i}]]:
        out: dict[str, list[Item{i}]] = defaultdict(list)
        for item in self:
            for tag in item.tags:
                out[tag].append(item)
        return dict(out)

    def best(self, key: Callable[[Item{i}], float], n: int = 3) -> list[Item{i}]:
        ranked = sorted(self._items.values(), key=key, reverse=True)
        return ranked[:n]

    def load(self, path: Path) -> int:
        count = 0
        with path.open() as fh:
            for line in fh:
                m = re.match(r"(\\w+)\\s+(\\d+)\\s+([0-9.]+)", line)
                if m is None:
                    log.warning("bad line %r", line)
                    continue
                self.add(Item{i}(m.group(1), int(m.group(2)), float(m.group(3))))
                count += 1
        return count

    def dump(self) -> str:
        rows = [it.to_row() for it in self]
        return json.dumps(rows, indent=2)


def group{i}(xs: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    out: dict[K, list[T]] = {{}}
    for x in xs:
        out.setdefault(key(x), []).append(x)
    return out


def summarize{i}(store: Store{i}, limit: int = 10) -> list[tuple[str, float]]:
    pairs = [(it.name, it.total()) for it in store if it.qty > 0]
    pairs.sort(key=lambda p: p[1], reverse=True)
    total = sum(p[1] for p in pairs)
    if total == 0:
        return []
    return [(n, v / total) for n, v in pairs[:limit]]

"""
_TARGET = """
def merge_counts(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    result: dict[str, int] = dict(a)
    for k, v in b.items():
        result[k] = result.get(k, 0) + v
    return result


def main(argv: list[str]) -> int:
    store = Store0([Item0("x", 2, 3.5, ["a"])])
    c = merge_counts({"a": 1}, store.hits)
    print(c, summarize0(store))
    return 0
"""
LINE = "result[k] = result.get(k, 0) + v"
"""The statement of ``merge_counts`` that benchmarks make a hole of."""


def module(blocks: int, imports: str = "") -> str:
    """Return a module of about 20 + 98 lines a block."""
    return _HEAD.format(imports=imports) + "".join(_BLOCK.format(i=i) for i in range(blocks)) + _TARGET


def single(root: Path) -> Path:
    """Write one module of about 320 lines; returns its path."""
    path = root / "mod.py"
    path.write_text(module(3), "utf-8")
    return path


def package(root: Path, files: int = 50) -> Path:
    """Write a package in which later modules import earlier ones; returns the path of one in the middle."""
    folder = root / "pkg"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("", "utf-8")
    rng = random.Random(1)
    for number in range(files):
        used = sorted(rng.sample(range(number), min(number, 4)))
        imports = "\n".join(
            f"from pkg.m{j:02d} import Store0 as S{j}, merge_counts as mc{j}, group0 as g{j}" for j in used
        )
        text = module(2, imports)
        for j in used:
            text += (
                f"\n\ndef use{j}(s: S{j}) -> dict[str, int]:\n    t = g{j}(s, lambda it: it.name)\n"
                f"    return mc{j}(s.hits, {{k: len(v) for k, v in t.items()}})\n"
            )
        (folder / f"m{number:02d}.py").write_text(text, "utf-8")
    return folder / f"m{files - 1:02d}.py"
