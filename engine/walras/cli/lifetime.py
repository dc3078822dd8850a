"""How long a program serves: until it is told to end, or until its parent is gone."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def until_stopped(*, with_parent: bool = False) -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, in place of what they would do.

    Args:
        with_parent: end when stdin reaches its end instead, as it does when the parent dies. Ctrl-C
            reaches every process of a terminal; then it is the parent's to act on, and is ignored.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, (lambda: None) if with_parent else stop.set)
    stdin = sys.stdin.fileno() if with_parent else -1

    def read() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            stop.set()

    if with_parent:
        loop.add_reader(stdin, read)
    try:
        yield stop
    finally:
        if with_parent:
            loop.remove_reader(stdin)
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGINT)
