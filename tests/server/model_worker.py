"""The real model worker's main over scripted weights: ``python model_worker.py``.

``ASTRAL_TEST_CANDIDATES`` is a JSON list of the texts that it draws.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from astral_model.engine import Control, Draft, Engine, Request

from astral_lsp.workers.model import Show, main
from astral_lsp.workers.protocol import Load, ModelInfo


class ScriptedEngine:
    name = "ar"

    def propose(self, request: Request, control: Control) -> list[Draft]:
        drafts: list[Draft] = []
        for number, text in enumerate(json.loads(os.environ.get("ASTRAL_TEST_CANDIDATES", "[]"))):
            if control.stop():
                break
            drafts.append(Draft(text, -float(number), 1, 1, self.name))
            control.on_draft(drafts[-1])
        return drafts

    def repair(
        self, request: Request, text: str, spans: list[tuple[int, int]], control: Control
    ) -> list[Draft]:
        return []


class ScriptedModel:
    def __init__(self, params: Load) -> None:
        self.info = ModelInfo("scripted", "0" * 64, "", "cpu", "float32", 1.0)

    def engine(self, name: str) -> Engine:
        return ScriptedEngine()

    def forget(self) -> None:
        pass

    def read_ahead(self, request: Request, control: Control) -> None:
        pass


def load(params: Load, show: Show, unwanted: Callable[[], bool]) -> ScriptedModel:
    return ScriptedModel(params)


if __name__ == "__main__":
    main(load)
