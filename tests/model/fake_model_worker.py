"""The real worker main over an engine that needs no weights: what it draws is told by the request's hints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from astral_model.engine import Control, Draft, Engine, Request

from astral_lsp.workers.model import Show, WorkerError, main
from astral_lsp.workers.protocol import Load, ModelInfo


class FakeEngine:
    name = "ar"

    def propose(self, request: Request, control: Control) -> list[Draft]:
        print("engines may print")  # must not end up among the frames
        os.write(1, b"even past sys.stdout\n")
        if request.prefix == "raise":
            raise RuntimeError("boom")
        drafts: list[Draft] = []
        for number in range(request.candidates):
            draft = Draft(f"{request.prefix}{number}", -float(number), 1, 1, self.name)
            drafts.append(draft)
            control.on_draft(draft)
            control.evaluations += 1
            while request.prefix == "slow" and not control.stop():
                time.sleep(0.005)
            if control.stop():
                break
        return drafts

    def repair(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Draft]:
        start, end = spans[0]
        return [Draft(f"{text[:start]}new{text[end:]}", 0.0, 1, 1, f"{sorted(request.rejected)}")]


class FakeModel:
    def __init__(self, params: Load) -> None:
        self.info = ModelInfo(params.base, "0" * 64, "", "cpu", "float32", 1.0)

    def engine(self, name: str) -> Engine:
        if name != "ar":
            raise WorkerError("unavailable", f"the engine {name!r} needs an adapter and none is loaded")
        return FakeEngine()

    def forget(self) -> None:
        print("forgotten", file=sys.stderr)

    def read_ahead(self, request: Request, control: Control) -> None:
        while request.prefix == "slow" and not control.stop():
            time.sleep(0.005)


def load(params: Load, show: Show, unwanted: Callable[[], bool]) -> FakeModel:
    if params.base == "missing":
        raise WorkerError("unavailable", "no weights: run `astral-lsp model add FILE`")
    if params.base == "broken":
        raise RuntimeError("no such tensor")
    if params.base == "slow":
        for step in range(400):
            show("downloading", step / 400)
            time.sleep(0.05)
            if unwanted():
                raise WorkerError("cancelled", "stopped")
    return FakeModel(params)


if __name__ == "__main__":
    assert "torch" not in sys.modules
    main(load)
