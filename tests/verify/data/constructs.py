"""Every construct whose body a graft may or may not stand for; used by the agreement test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar, overload

T = TypeVar("T")
LIMIT: int = 10
NAMES = ["a", "b"]
TABLE: dict[str, list[int]] = {"a": [1], "b": [2, 3]}


class Row(TypedDict):
    name: str
    qty: int


class Pair(NamedTuple):
    left: int
    right: str


class Sized(Protocol):
    def size(self) -> int: ...


@dataclass
class Item:
    name: str
    qty: int = 0
    tags: list[str] = field(default_factory=list)
    kinds: ClassVar[dict[str, int]] = {"x": 1}

    def size(self) -> int:
        return self.qty * len(self.tags)

    @property
    def label(self) -> str:
        return f"{self.name}:" + str(self.qty)

    @label.setter
    def label(self, value: str) -> None:
        self.name = value.strip()

    @classmethod
    def make(cls, pair: Pair) -> Item:
        return cls(pair.right, pair.left)

    @staticmethod
    def join(parts: list[str]) -> str:
        return ",".join(parts)

    @functools.cached_property
    def slow(self) -> int:
        return len(self.name) + self.qty


class Store(Generic[T]):
    def __init__(self, first: T) -> None:
        self.items: list[T] = [first]
        self.hits = 0
        self.by_name = defaultdict(list)
        self.by_name["a"].append(first)

    def get(self, index: int, default: T | None = None) -> T | None:
        self.hits += 1
        return self.items[index] if index < len(self.items) else default

    def each(self) -> Iterator[T]:
        for item in self.items:
            yield item

    def __enter__(self) -> Store[T]:
        return self

    def __exit__(self, *args: object) -> None:
        self.items.clear()


@overload
def twice(value: int) -> int: ...
@overload
def twice(value: str) -> str: ...
def twice(value: int | str) -> int | str:
    if isinstance(value, int):
        return value * 2
    return value + value


def outer(scale: int) -> Callable[[int], int]:
    total = 0

    def inner(number: int) -> int:
        nonlocal total
        total += number * scale
        return total

    def other(number: int) -> int:
        found = [n for n in range(number) if n % 2]
        return sum(found) + scale

    return other if scale else inner


def walk(depth: int) -> Generator[int, str, bool]:
    got = yield depth
    if depth > 0:
        yield from walk(depth - 1)
    return got == "stop"


async def fetch(delay: float) -> dict[str, int]:
    await asyncio.sleep(delay)
    async with asyncio.timeout(delay) if delay else contextlib.AsyncExitStack():
        result = {name: len(name) for name in NAMES}
    return result


async def stream(count: int) -> AsyncIterator[int]:
    for number in range(count):
        part = await fetch(number)
        yield part.get("a", 0)


def rows(items: list[Item]) -> list[Row]:
    made: list[Row] = []
    for item in items:
        row: Row = {"name": item.name, "qty": item.qty}
        made.append(row)
    return made


def shape(value: int | str | Item | Pair) -> str:
    match value:
        case int():
            return str(value + 1)
        case Item(name=name, qty=qty) if qty > LIMIT:
            return name
        case Pair(left, right):
            return right * left
        case _:
            return "other"


def mode(kind: Literal["r", "w"]) -> bool:
    if (found := TABLE.get(kind)) is not None:
        return len(found) > 1
    return False


def untyped(first, second=None):
    both = [first, second]
    return len(both) + LIMIT


def late(flag: bool) -> int:
    if flag:
        answer = 1
    else:
        answer = len(NAMES)
    with Store("x") as store:
        word = store.get(0, "y")
    try:
        counts = Counter(NAMES)
        answer += counts["a"]
    except KeyError as error:
        raise ValueError(str(error)) from error
    return answer if word else 0


COUNTS = Counter(NAMES)
BEST = max(COUNTS.items(), key=lambda pair: pair[1])
STORE = Store(Item("z"))
assert STORE.get(0) is not None
