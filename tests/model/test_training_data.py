"""What is trained on: refusals, duplicates, holes as users meet them, a plan that resumes to the batch."""

from __future__ import annotations

import ast
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astral_model.healing import heal
from training.benchmark_guard import BenchmarkGuard, write_hashes
from training.corpus import HELD_OUT, Deduplicator, RefusedPackage, read_wheel
from training.dataset import MAX_ANSWER, Dataset, draw_examples, plan, tokenise, write_dataset
from training.holes import WEIGHTS, SourceText, cut, draw_hole

from tests.model.tiny import tiny_backbone

SOURCE = '''"""A module."""
import math
from collections import Counter


def spread(values: list[float], scale: float = 1.0) -> float:
    """How far apart."""
    if not values:
        raise ValueError("no values")
    mean = sum(values) / len(values)
    squares = [(v - mean) ** 2 for v in values if v is not None]
    for index, value in enumerate(values):
        if value > mean and index % 2 == 0:
            mean += value * scale
    counts = Counter(values)
    return math.sqrt(sum(squares) / len(counts))


class Box:
    def area(self, width: float, height: float) -> float:
        result = width * height
        self.last = max(result, 0.0)
        return self.last
'''


# --- refusals ---------------------------------------------------------------------------------------------


def problem() -> dict[str, str]:
    """A made-up benchmark problem."""
    prompt = (
        'def zigzag_total(items):\n    """ Return the total of every second item of the given list when'
        ' counted backwards from its end.\n    >>> zigzag_total([1, 2, 3])\n    4\n    """\n'
    )
    solution = (
        "    total = 0\n    for place, item in enumerate(reversed(items)):\n        if place % 2 == 0:\n"
    )
    return {
        "prompt": prompt,
        "canonical_solution": solution,
        "suffix": "            total += item\n    return total\n",
    }


@pytest.fixture
def guard(tmp_path: Path) -> BenchmarkGuard:
    write_hashes([problem()], ["zigzag_total"], tmp_path / "hashes.txt")
    return BenchmarkGuard.load(tmp_path / "hashes.txt")


def test_benchmark_text_is_refused_however_it_is_dressed(guard: BenchmarkGuard) -> None:
    row = problem()
    assert guard.reason(row["prompt"]) is not None
    renamed = row["prompt"].replace("zigzag_total", "other").replace("    ", "\t").upper()
    assert guard.reason(renamed) == "contains a benchmark prompt"
    body = "def other(items):\n" + row["canonical_solution"] + row["suffix"]
    assert guard.reason(body) == "contains a benchmark solution"
    assert guard.reason("def zigzag_total(x):\n    return x\n") == "defines a benchmark function"
    assert guard.reason("# solved for HumanEval\nx = 1\n") == "names the benchmark"
    assert guard.reason(SOURCE) is None


def test_the_committed_hashes_refuse_known_names_and_hold_no_text() -> None:
    committed = BenchmarkGuard.load()
    assert committed.reason("def has_close_elements(a, b):\n    pass\n") == "defines a benchmark function"
    assert committed.reason(SOURCE) is None
    from training.benchmark_guard import HASH_FILE

    lines = HASH_FILE.read_text().splitlines()[1:]
    assert len(lines) > 1000
    assert all(line[0] in "nps" and len(line) == 18 for line in lines)


def wheel(folder: Path, name: str, licence: str, files: dict[str, str]) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{name}-1.0.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{licence}\n\nText\n",
        )
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def test_a_wheel_is_read_without_its_tests(tmp_path: Path) -> None:
    files = {
        "pkg/a.py": SOURCE,
        "pkg/tests/test_a.py": SOURCE,
        "pkg/broken.py": "def (" * 100,
        "pkg/tiny.py": "x=1",
    }
    package, sources = read_wheel(wheel(tmp_path, "pkg", "License: MIT", files))
    assert (package.name, package.version, package.licence) == ("pkg", "1.0", "MIT")
    assert [s.path for s in sources] == ["pkg/a.py"]


@pytest.mark.parametrize(
    "licence",
    [
        "License: GPL-3.0",
        "License-Expression: MPL-2.0",
        "",
        "License: MIT AND GPL-2.0-only",
        "License: UNKNOWN",
    ],
)
def test_licences_that_are_not_permissive_are_refused(tmp_path: Path, licence: str) -> None:
    with pytest.raises(RefusedPackage, match="licence"):
        read_wheel(wheel(tmp_path, "pkg", licence, {"pkg/a.py": SOURCE}))


@pytest.mark.parametrize("name", ["networkx", "more_itertools", "Python.DateUtil", "cytoolz"])
def test_held_out_packages_are_refused_under_any_spelling(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedPackage, match="held out"):
        read_wheel(wheel(tmp_path, name, "License: MIT", {"a.py": SOURCE}))


def test_the_manifest_holds_no_held_out_package() -> None:
    manifest = (Path(__file__).parents[2] / "model/training/manifest.toml").read_text()
    named = {line.split('"')[1] for line in manifest.splitlines() if line.startswith("name = ")}
    assert len(named) > 100
    assert not named & HELD_OUT


def test_near_duplicates_are_refused() -> None:
    dedup = Deduplicator()
    assert dedup.fresh(SOURCE)
    assert not dedup.fresh(SOURCE.replace("    ", "\t"))
    assert not dedup.fresh(SOURCE + "\nx = 1\n")
    assert dedup.fresh("\n".join(f"y{i} = {i}" for i in range(30)))


# --- holes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_every_kind_of_hole_can_be_cut(kind: str) -> None:
    source, rng = SourceText(SOURCE), random.Random(0)
    function = next(source.functions())
    places = {cut(source, function, rng, kind) for _ in range(40)} - {None}
    assert places
    for start, end in places:  # type: ignore[misc]
        assert source.text[start:end].strip() or kind == "span"
        if kind in ("argument", "rhs", "condition", "return", "call", "comprehension", "iterable", "operand"):
            ast.parse(f"({source.text[start:end]})", mode="eval")
        if kind in ("line", "block", "body"):
            assert start == 0 or source.text[start - 1] == "\n"


def test_offsets_count_characters_not_bytes() -> None:
    source = SourceText("def f(é):\n    ß = 'ü' + é\n    return ß\n")
    function = next(source.functions())
    assert {source.text[slice(*source.span(s))] for s in function.body} == {"ß = 'ü' + é", "return ß"}


def test_a_hole_is_a_piece_of_the_source_and_starts_as_serving_starts_it() -> None:
    source, rng = SourceText(SOURCE), random.Random(1)
    functions = list(source.functions())
    seen = 0
    for _ in range(300):
        hole = draw_hole(source, rng.choice(functions), rng)
        if hole is None:
            continue
        seen += 1
        near = hole.prefix[-60:] + hole.answer + hole.suffix[:60]
        assert "".join(near.split()) in "".join(SOURCE.split())
        forced = hole.answer[: hole.forced]
        assert heal(hole.prefix + forced) == (hole.prefix, forced)
        for first, last in hole.nodes:
            assert 0 <= first < last <= len(hole.answer)
    assert seen > 200


# --- the file and the plan --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    tokenizer = tiny_backbone().tokenizer
    import training.dataset as module

    path = tmp_path_factory.mktemp("data") / "holes.npz"
    old = module.MAX_CONTEXT
    module.MAX_CONTEXT = 5000  # a tiny byte vocabulary makes many tokens
    try:
        examples = [e for seed in range(40) for e in draw_examples([("pkg", SOURCE)], tokenizer, seed)]
    finally:
        module.MAX_CONTEXT = old
    write_dataset(examples, tokenizer.size, path)
    return Dataset(path)


def test_examples_survive_the_file(dataset: Dataset) -> None:
    tokenizer = tiny_backbone().tokenizer
    assert len(dataset) > 50
    for i in range(len(dataset)):
        example = dataset[i]
        assert example.context[0] == tokenizer.fim_prefix
        assert tokenizer.decode(example.answer.tolist()) in SOURCE or len(example.answer)
        assert 0 <= example.forced < len(example.answer) + 1
        assert len(example.roles) == len(example.answer)
        assert (example.spans[:, 0] < example.spans[:, 1]).all()
        assert (example.spans[:, 1] <= len(example.answer)).all()


def test_the_plan_is_the_same_each_time_and_another_each_epoch(dataset: Dataset) -> None:
    assert plan(dataset, 0, 0, 2) == plan(dataset, 0, 0, 2)
    assert plan(dataset, 0, 0, 2) != plan(dataset, 0, 1, 2)
    assert plan(dataset, 0, 0, 2) != plan(dataset, 1, 0, 2)


def test_the_plan_takes_every_hole_once_and_keeps_like_lengths_together(dataset: Dataset) -> None:
    _, lengths = dataset.lengths()
    batches = plan(dataset, 0, 0, 4)
    assert sorted(i for batch in batches for i in batch) == list(range(len(dataset)))
    spread = np.mean([np.ptp(lengths[list(batch)]) for batch in batches])
    assert spread < np.ptp(lengths) / 3


def test_what_does_not_fit_is_left_out() -> None:
    tokenizer = tiny_backbone().tokenizer
    source, rng = SourceText(SOURCE), random.Random(2)
    function = next(source.functions())
    for _ in range(60):
        hole = draw_hole(source, function, rng)
        example = tokenise(hole, tokenizer) if hole is not None else None
        assert example is None or len(example.answer) <= MAX_ANSWER
