"""An oracle is opened once, and again when what stood in its way may have gone."""

from __future__ import annotations

import asyncio

import pytest

from astral_lsp.fill import opening
from astral_lsp.fill.opening import Opening
from astral_lsp.report import Verdict, unavailable


class Attempts:
    """Answers by script, the last one for ever; counts what it was asked."""

    def __init__(self, *answers: Verdict | None, seconds: float = 0.0) -> None:
        self.answers, self.seconds = list(answers), seconds
        self.pythons: list[str] = []

    async def __call__(self, python: str) -> Verdict | None:
        self.pythons.append(python)
        await asyncio.sleep(self.seconds)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_it_opens_once_for_all_that_ask() -> None:
    attempts = Attempts(None, seconds=0.05)
    door = Opening(attempts)
    assert await asyncio.gather(*(door.problem("py") for _ in range(5))) == [None] * 5
    assert await door.problem("py") is None
    assert attempts.pythons == ["py"]


async def test_a_failure_is_tried_again_but_not_for_every_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(unavailable("mypy is missing"), None)
    door = Opening(attempts)
    assert await door.problem("py") == unavailable("mypy is missing")
    assert await door.problem("py") == unavailable("mypy is missing")
    monkeypatch.setattr(opening, "RETRY_SECONDS", 0.0)
    assert await door.problem("py") is None
    assert await door.problem("py") is None
    assert attempts.pythons == ["py", "py"]


async def test_another_interpreter_is_another_opening() -> None:
    attempts = Attempts(None)
    door = Opening(attempts)
    await door.problem("python3")
    await door.problem(".venv/bin/python")
    assert attempts.pythons == ["python3", ".venv/bin/python"]


async def test_a_caller_that_gives_up_does_not_undo_the_opening() -> None:
    attempts = Attempts(None, seconds=0.1)
    door = Opening(attempts)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(door.problem("py"), 0.02)
    assert await door.problem("py") is None
    assert attempts.pythons == ["py"]
