"""What several files here ask."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from astral_lsp.verify.tests import TestsOracle
from astral_lsp.verify.types import TypesOracle


@pytest_asyncio.fixture
async def oracle(tmp_path: Path) -> AsyncIterator[TestsOracle]:
    made = TestsOracle()
    assert isinstance(await made.open(tmp_path, sys.executable, trusted=True), dict)
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def types(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[TypesOracle, Path]]:
    """A types oracle and its empty workspace, one for all tests of a file: a build takes seconds."""
    root = tmp_path_factory.mktemp("workspace")
    made = TypesOracle()
    assert await made.open(str(root), sys.executable, False) == ""
    yield made, root
    await made.close()
