"""A whole session under random incremental edits, in all three position encodings, against a text oracle.

``ASTRAL_FUZZ_EDITS`` sets the number of changes of the whole run, each of one to three edits.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from astral_lsp.holes.find import find_holes
from astral_lsp.server.locate import plain
from astral_lsp.server.navigation import range_json
from astral_lsp.server.text import Buffer, Encoding
from tests.server.harness import editor
from tests.server.test_text import oracle_offset, random_position

EDITS = int(os.environ.get("ASTRAL_FUZZ_EDITS", "12000")) // 3
CHECK_EVERY = 25
START = 'def f(x: int) -> str:\n    """Doc 😀."""\n    return ...\n\n\nclass A:\n    name: str = __hole__\n'
PIECES = [
    "...", "?todo", "??", "__hole__", "x", "😀", "'𝒳'", "é", "\n", "\r\n", "    ", "\t", "(", ")",
    "def g(y):\n    return ...\n",
    "# 😀 note", "\f", "\u2028", '"""', ":", "pass", "raise NotImplementedError", "import os\n", "", "",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_random_edits_keep_server_and_editor_in_step(tmp_path: Path, encoding: Encoding) -> None:
    random_ = random.Random(f"{encoding}-{EDITS}")
    extra = {"general": {"positionEncodings": [encoding]}}
    async with editor(tmp_path, extra=extra, process=True) as session:
        assert session.init.capabilities.position_encoding == encoding
        uri, text = session.open("fuzz.py", START), START
        for number in range(EDITS):
            batch = []
            for _ in range(random_.choice((1, 1, 1, 2, 3))):
                change, text = _edit(random_, text, encoding)
                batch.append(change)
            session.change(uri, *batch)
            if number % CHECK_EVERY == 0 or number == EDITS - 1:
                await _check(session, uri, text, encoding)
                if random_.random() < 0.3:
                    await session.actions(uri, types.Range(*(random_position(random_, text, encoding),) * 2))


def _edit(
    random_: random.Random, text: str, encoding: Encoding
) -> tuple[tuple[types.Range | None, str], str]:
    if random_.random() < 0.01:
        return (None, START), START
    new = random_.choice(PIECES) if len(text) < 3000 else ""
    one, other = (random_position(random_, text, encoding) for _ in range(2))
    places = sorted(((oracle_offset(text, p, encoding), p) for p in (one, other)), key=lambda pair: pair[0])
    (start, first), (end, last) = places
    if end - start > 40 and len(text) < 3000:
        end, last = start, first
    return (types.Range(first, last), new), text[:start] + new + text[end:]


async def _check(session: Any, uri: str, text: str, encoding: Encoding) -> None:
    """The server's holes are those of the oracle's text, in the client's units."""
    params = {"textDocument": {"uri": uri}}
    answer = await session.client.protocol.send_request_async("astral/holes", params)
    buffer = Buffer(text, encoding)
    expected = [(hole.text, range_json(buffer.range(hole.start, hole.end))) for hole in find_holes(text)]
    assert [(item["text"], item["range"]) for item in plain(answer)] == expected
