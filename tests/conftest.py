"""Fixtures that many tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.worlds import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh engine with the tiny market behind gRPC, without solvers."""
    async with running(tmp_path / "engine") as found:
        await found.open_market()
        yield found
