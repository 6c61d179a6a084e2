"""What several files here ask."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from astral_lsp.verify.tests import TestsOracle


@pytest_asyncio.fixture
async def oracle(tmp_path: Path) -> AsyncIterator[TestsOracle]:
    made = TestsOracle()
    assert isinstance(await made.open(tmp_path, sys.executable, trusted=True), dict)
    yield made
    await made.close()
