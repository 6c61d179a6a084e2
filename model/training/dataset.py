"""Tokenised holes in one binary file, and the plan that turns them into batches.

The file is a plain ``.npz``: token ids of all contexts and answers end to end, with offsets. The plan is a
pure function of (seed, epoch), so a run resumes to the step by remembering a number.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astral_model.checkpoint import best_dtype, load_checkpoint
from astral_model.corruption import role_of
from astral_model.tokenizer import Tokenizer
from numpy.typing import NDArray

from training.holes import WEIGHTS, CutHole, SourceText, draw_hole

MAX_ANSWER = 94
"""Longest answer in tokens (`astral_model.length.LONGEST` less the end token and one to spare)."""
MAX_CONTEXT = 448
SERVING_CONTEXT = 2000
"""Longest context in tokens, of training and of evaluation holes."""
WINDOW = 1024
"""Holes that are sorted by length before they are put into batches."""


@dataclass(frozen=True)
class Example:
    """One hole in tokens. ``spans`` are token ranges of AST nodes inside the answer; the first ``forced``
    tokens stood before the hole."""

    context: NDArray[np.int32]
    answer: NDArray[np.int32]
    roles: NDArray[np.uint8]
    spans: NDArray[np.uint8]
    kind: int
    forced: int


class Dataset:
    """Random access to the examples of a file that `write_dataset` made."""

    def __init__(self, path: Path) -> None:
        data = np.load(path)
        self._context, self._context_at = data["context"], data["context_at"]
        self._answer, self._answer_at, self._roles = data["answer"], data["answer_at"], data["roles"]
        self._spans, self._spans_at = data["spans"], data["spans_at"]
        self.kinds: NDArray[np.uint8] = data["kinds"]
        self._forced: NDArray[np.uint8] = data["forced"]
        self.frequency: NDArray[np.int64] = data["frequency"]

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, i: int) -> Example:
        context = self._context[self._context_at[i] : self._context_at[i + 1]]
        at = slice(self._answer_at[i], self._answer_at[i + 1])
        spans = self._spans[self._spans_at[i] : self._spans_at[i + 1]]
        return Example(
            context, self._answer[at], self._roles[at], spans, int(self.kinds[i]), int(self._forced[i])
        )

    def lengths(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens of every context and of every answer."""
        return np.diff(self._context_at), np.diff(self._answer_at)


def plan(
    dataset: Dataset, seed: int, epoch: int, holes: int, longest: int = 1 << 30
) -> list[tuple[int, ...]]:
    """All batches of one epoch, ``holes`` holes each (fewer at the edges); contexts over ``longest`` tokens
    are left out. Holes of like answers and like contexts stand together, so that little is padding.
    """
    rng = random.Random(f"{seed}/{epoch}")
    contexts, answers = dataset.lengths()
    order = [i for i in range(len(dataset)) if int(contexts[i]) <= longest]
    rng.shuffle(order)
    batches: list[tuple[int, ...]] = []
    for window in (order[i : i + WINDOW] for i in range(0, len(order), WINDOW)):
        window.sort(key=lambda i: (int(answers[i]), int(contexts[i])))
        ready: list[tuple[int, ...]] = []
        for at in range(0, len(window), 8 * holes):
            alike = sorted(window[at : at + 8 * holes], key=lambda i: int(contexts[i]))
            ready += [tuple(alike[i : i + holes]) for i in range(0, len(alike), holes)]
        rng.shuffle(ready)
        batches += ready
    return batches


# --- making the file --------------------------------------------------------------------------------------


def tokenise(hole: CutHole, tokenizer: Tokenizer, most: int = MAX_CONTEXT) -> Example | None:
    """Ids of a hole, or None if its answer does not fit or its context has over ``most`` tokens."""
    answer = tokenizer.encode(hole.answer)
    if not 1 <= len(answer) <= MAX_ANSWER:
        return None
    prefix, suffix = tokenizer.encode(hole.prefix), tokenizer.encode(hole.suffix)
    context = tokenizer.fim_context(prefix, suffix)
    if len(context) > most:
        return None
    pieces = [tokenizer.pieces[i] for i in answer]
    edges = np.cumsum([0, *map(len, pieces)])
    roles = [role_of(piece.decode(errors="replace")) for piece in pieces]
    return Example(
        np.array(context, np.int32),
        np.array(answer, np.int32),
        np.array(roles, np.uint8),
        _token_spans(hole, edges),
        list(WEIGHTS).index(hole.kind),
        int(np.searchsorted(edges, len(hole.answer[: hole.forced].encode()), "right")) - 1,
    )


def _token_spans(hole: CutHole, edges: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Token ranges that cover the AST nodes inside the answer, without duplicates: (S, 2)."""
    found = set()
    for first, last in hole.nodes:
        low = len(hole.answer[:first].encode())
        high = len(hole.answer[:last].encode())
        start = int(np.searchsorted(edges, low, "right")) - 1
        end = int(np.searchsorted(edges, high, "left"))
        found.add((start, max(end, start + 1)))
    return np.array(sorted(found), np.uint8).reshape(-1, 2)


def draw_examples(
    corpus: list[tuple[str, str]],
    tokenizer: Tokenizer,
    seed: int,
    most_per_file: int = 10,
    boosted: frozenset[str] = frozenset(),
    serving: bool = False,
) -> Iterator[Example]:
    """Examples from (package, text) pairs: several holes a function, files in random order.

    Files of ``boosted`` packages (short algorithms) give five holes a function and five times as many a file.
    ``serving``: with contexts as the server makes them, for evaluation.
    """
    most = SERVING_CONTEXT if serving else MAX_CONTEXT
    rng = random.Random(seed)
    order = list(range(len(corpus)))
    rng.shuffle(order)
    for index in order:
        try:
            source = SourceText(corpus[index][1])
        except (SyntaxError, ValueError, RecursionError):
            continue
        functions = list(source.functions())
        rng.shuffle(functions)
        boost = corpus[index][0] in boosted
        wanted = min(most_per_file * (5 if boost else 1), len(functions) * (5 if boost else 2))
        made = 0
        for function in (functions * 10)[: wanted * 2]:
            try:
                hole = draw_hole(source, function, rng, serving)
            except (SyntaxError, ValueError, StopIteration, RecursionError, IndexError):
                continue
            example = tokenise(hole, tokenizer, most) if hole is not None else None
            if example is not None:
                yield example
                made += 1
                if made >= wanted:
                    break


def write_dataset(examples: list[Example], vocabulary: int, path: Path) -> None:
    """Concatenate ``examples`` into ``path``; ``frequency`` counts every id in contexts and answers."""

    def at(parts: list[NDArray[np.int32]] | list[NDArray[np.uint8]]) -> NDArray[np.int64]:
        return np.cumsum([0, *map(len, parts)])

    contexts, answers = [e.context for e in examples], [e.answer for e in examples]
    spans = [e.spans for e in examples]
    tokens = np.concatenate(contexts + answers)
    np.savez(
        path,
        context=np.concatenate(contexts),
        context_at=at(contexts),
        answer=np.concatenate(answers),
        answer_at=at(answers),
        roles=np.concatenate([e.roles for e in examples]),
        spans=np.concatenate(spans),
        spans_at=at(spans),
        forced=np.array([e.forced for e in examples], np.uint8),
        kinds=np.array([e.kind for e in examples], np.uint8),
        frequency=np.bincount(tokens, minlength=vocabulary),
    )


def _lengths(examples: list[Example]) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
    return [e.answer for e in examples], [e.context for e in examples]


def main() -> None:
    """``python -m training.dataset CORPUS.jsonl OUT.npz --base BASE.gguf``."""
    parser = argparse.ArgumentParser(description="Cut and tokenise holes.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--holes", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-per-file", type=int, default=10)
    parser.add_argument("--boost", default="", help="comma-separated packages to take more holes from")
    parser.add_argument("--only", default="", help="comma-separated packages")
    parser.add_argument("--skip", default="", help="comma-separated packages")
    parser.add_argument("--serving", action="store_true", help="contexts as the server makes them")
    options = parser.parse_args()
    only, skip = set(filter(None, options.only.split(","))), set(filter(None, options.skip.split(",")))
    rows = [json.loads(line) for line in options.corpus.read_text().splitlines()]
    corpus = [(p, text) for p, _, text in rows if p not in skip and (not only or p in only)]
    checkpoint = load_checkpoint(options.base, best_dtype())
    tokenizer = Tokenizer.load(checkpoint.tokenizer_file)
    boosted = frozenset(options.boost.split(","))
    examples: list[Example] = []
    for example in draw_examples(
        corpus, tokenizer, options.seed, options.most_per_file, boosted, options.serving
    ):
        examples.append(example)
        if len(examples) >= options.holes:
            break
    write_dataset(examples, checkpoint.shape.vocab, options.out)
    kinds = np.bincount([e.kind for e in examples], minlength=len(WEIGHTS))
    print(len(examples), "holes;", dict(zip(WEIGHTS, kinds.tolist(), strict=True)))
    answer, context = (np.mean([len(part) for part in parts]) for parts in _lengths(examples))
    print(f"mean answer {answer:.1f} tokens, mean context {context:.1f}")


if __name__ == "__main__":
    main()
