"""Fixtures that many tests share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from support.worlds import World, running


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """What a command that a test ran in this process wrote its log to is closed after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh engine with the tiny market behind gRPC, without solvers."""
    async with running(tmp_path / "engine") as found:
        await found.open_market()
        yield found
