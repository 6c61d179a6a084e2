"""Fits the weights by which candidates are ranked (`astral_model.ranking`).

For every development row the hybrid engine's pool is drawn once and each text is judged by the row's own
test. The weights then minimise a listwise softmax loss: how little of its mass lies on right texts. Rows
whose pool holds no right text, or only right ones, say nothing and are left out. Cross-validated by problem.

    python -m training.fit_ranking pool OUT.jsonl --base BASE.gguf --adapter DIR --rows DEV.jsonl --every 4
    python -m training.fit_ranking fit OUT.jsonl
"""

from __future__ import annotations

import argparse
import ast
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from astral_model.adapter import Adapter
from astral_model.ar import ArEngine
from astral_model.backbone import Backbone
from astral_model.engine import Control, Request
from astral_model.hybrid import HybridEngine
from astral_model.likelihood import Reading
from astral_model.ranking import WITH_FLOW, Evidence, features
from astral_model.sampler import FlowEngine
from torch import Tensor

from training.evaluate import runs_clean

PRIOR = 0.02
"""Strength of the pull towards the weights as they are."""


def draw_pools(options: argparse.Namespace) -> None:
    """Write one line a row: task, source file, and for each text its features and whether it is right."""
    torch.set_num_threads(options.threads)
    backbone = Backbone.load(options.base, device="cpu", int8=True)
    adapter = Adapter.load(options.adapter, backbone.shape, backbone.sha256, backbone.dtype, int8=True)
    flow = FlowEngine(backbone, adapter)
    engine = HybridEngine(ArEngine(backbone, flow.contexts, flow.likelihood), flow)
    with options.out.open("a") as out:
        for path in options.rows:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            for row in rows[options.first :: options.every]:
                texts = [draw_pool(engine, row, options.candidates), path.name, row]
                out.write(json.dumps(_judged(*texts)) + "\n")
                out.flush()


def draw_pool(engine: HybridEngine, row: dict[str, str], candidates: int) -> dict[str, dict[str, float]]:
    """Text -> features of every candidate for ``row``."""
    line = row["prompt"].rpartition("\n")[2]
    indent = line[: len(line) - len(line.lstrip())]
    sides = (row["prompt"], row["suffix"])
    request = Request(*sides, *sides, "any", indent, candidates)
    pool, _ = engine.pool(request, Control.within(120_000))
    return {one.text: features(one) for one in pool}


def _judged(pool: dict[str, dict[str, float]], name: str, row: dict[str, str]) -> dict[str, object]:
    def right(text: str) -> bool:
        program = row["prompt"] + text + row["suffix"]
        try:
            ast.parse(program)
        except (SyntaxError, ValueError):
            return False
        return runs_clean(program + row["test"] + f"\ncheck({row['entry_point']})\n")

    with ThreadPoolExecutor(2) as threads:
        verdicts = list(threads.map(right, pool))
    candidates = [
        {"text": text, "right": ok, "features": found}
        for (text, found), ok in zip(pool.items(), verdicts, strict=True)
    ]
    return {"task": row["task_id"], "data": name, "candidates": candidates}


# --- fitting ----------------------------------------------------------------------------------------------


def fit(cases: list[tuple[Tensor, Tensor]], start: Tensor) -> Tensor:
    """Weights (F,) that minimise the loss over ``cases`` of (features (N, F), right (N,) bool)."""
    weights = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = PRIOR * ((weights - start) ** 2).sum()
        for found, right in cases:
            log_share = (found @ weights).log_softmax(0)
            loss = loss - log_share[right].logsumexp(0) / len(cases)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach()


def top_right(cases: list[tuple[Tensor, Tensor]], weights: Tensor) -> int:
    """In how many cases the first candidate is right."""
    return sum(bool(right[(found @ weights).argmax()]) for found, right in cases)


def fit_file(options: argparse.Namespace) -> None:
    """Cross-validate over problems, then fit on everything and print the weights."""
    names = list(features(Evidence("", Reading(0.0, 0, 0.0))))
    start = torch.tensor([WITH_FLOW.get(name, 0.0) for name in names])
    groups: dict[str, list[tuple[Tensor, Tensor]]] = {}
    oracle = total = 0
    for line in options.pools.read_text().splitlines():
        row = json.loads(line)
        right = torch.tensor([c["right"] for c in row["candidates"]], dtype=torch.bool)
        total += 1
        oracle += bool(right.any())
        if not bool(right.any()) or bool(right.all()):
            continue
        found = torch.tensor([[c["features"][name] for name in names] for c in row["candidates"]])
        problem = row["task"].split("/")[1] if "/" in row["task"] else row["task"]
        groups.setdefault(problem, []).append((found, right))
    problems = sorted(groups)
    random.Random(0).shuffle(problems)
    before = after = count = 0
    for fold in range(5):
        held = problems[fold::5]
        training = [case for p in problems if p not in held for case in groups[p]]
        test = [case for p in held for case in groups[p]]
        weights = fit(training, start)
        before, after, count = (
            before + top_right(test, start),
            after + top_right(test, weights),
            count + len(test),
        )
    print(f"{total} rows, a right text in {oracle}; undecided {count}")
    print(f"the first is right in {before} with today's weights, in {after} with fitted ones (5-fold)")
    whole = fit([case for p in problems for case in groups[p]], start)
    print({name: round(float(w), 2) for name, w in zip(names, whole, strict=True)})


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description="Fit the ranking weights.")
    commands = parser.add_subparsers(required=True)
    pool = commands.add_parser("pool")
    pool.add_argument("out", type=Path)
    pool.add_argument("--base", type=Path, required=True)
    pool.add_argument("--adapter", type=Path, required=True)
    pool.add_argument("--rows", type=Path, action="append", required=True)
    pool.add_argument("--every", type=int, default=1)
    pool.add_argument("--first", type=int, default=0)
    pool.add_argument("--candidates", type=int, default=4)
    pool.add_argument("--threads", type=int, default=2)
    pool.set_defaults(run=draw_pools)
    fitting = commands.add_parser("fit")
    fitting.add_argument("pools", type=Path)
    fitting.set_defaults(run=fit_file)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
