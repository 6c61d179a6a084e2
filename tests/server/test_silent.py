"""An editor that announces everything and answers nothing: no progress bar is created, no edit confirmed, no
setting told, no document shown. What a person asked for must come all the same, and soon."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import converters, types

from tests.server.harness import capabilities
from tests.server.test_life import Raw

TEXT = "def area(width: int, height: int) -> int:\n    return ...\n"
POSITION = {"line": 1, "character": 12}


class Silent(Raw):
    """Reads what the server asks, and goes on."""

    def open(self, root: Path) -> str:
        converter = converters.get_converter()
        announced = converter.unstructure(capabilities("vscode"), types.ClientCapabilities)
        shown = {"window": {**announced["window"], "showDocument": {"support": True}}}
        parameters = {
            "processId": None,
            "rootUri": root.as_uri(),
            "capabilities": {**announced, **shown},
            "initializationOptions": {"trusted": True},
        }
        self.request(0, "initialize", parameters)
        self.notify("initialized", {})
        uri = (root / "area.py").as_uri()
        document = {"uri": uri, "languageId": "python", "version": 1, "text": TEXT}
        self.notify("textDocument/didOpen", {"textDocument": document})
        return uri

    def command(self, number: int, name: str, **argument: Any) -> tuple[Any, float]:
        """The answer, and after how many seconds it came."""
        began = time.monotonic()
        params = {"command": f"astral.{name}", "arguments": [argument]}
        return self.request(number, "workspace/executeCommand", params), time.monotonic() - began


@pytest.fixture
def silent(tmp_path: Path) -> Any:
    pipe = Silent(tmp_path)
    yield pipe
    pipe.process.kill()
    pipe.process.wait()


def test_an_editor_that_answers_nothing_gets_answers(silent: Silent, tmp_path: Path) -> None:
    uri = silent.open(tmp_path)
    where = {"uri": uri, "position": POSITION}
    answer, seconds = silent.command(1, "fillHole", **where)
    assert answer["result"]["applied"] == "first_1"
    assert seconds < 4.0
    (fill, *_, repaired) = answer["result"]["fills"]
    assert repaired["score"] is None, "minus infinity is no JSON"
    answer, seconds = silent.command(2, "applyFill", **fill["argument"])
    assert answer["result"]["applied"] == "first_1"
    assert seconds < 4.0
    answer, seconds = silent.command(3, "fillFile", uri=uri)
    assert answer["result"]["filled"] == 1
    assert seconds < 4.0
    answer, seconds = silent.command(4, "nextHole", uri=uri, position={"line": 0, "character": 0})
    assert answer["result"]["range"]["start"]["line"] == 1
    assert seconds < 5.0
    answer, seconds = silent.command(5, "explainRejected", **where)
    assert "rejected" in answer["result"]["text"]
    assert seconds < 5.0
    assert silent.end() == 0
