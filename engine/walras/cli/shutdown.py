"""Ending an engine without breaking what it is in the middle of."""

import asyncio

import structlog

from walras.app.engine import Engine

log = structlog.get_logger()

GRACE_SECONDS = 5.0
"""For calls that are being answered, and for an award after its solvers' time."""


async def finish_batch(engine: Engine) -> None:
    """Let a sealed batch come to its end, for as long as its solvers and its award may take."""
    loop = asyncio.get_running_loop()
    end = loop.time() + (engine.config.solve_ms + engine.config.open_ms) / 1000 + GRACE_SECONDS
    while engine.auctioneer.sealed is not None:
        if loop.time() > end:
            log.warning("the batch does not end; the next start will void it")
            return
        await asyncio.sleep(0.02)
