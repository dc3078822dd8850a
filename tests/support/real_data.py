"""Published auction batches, for tests that run on them where they are at hand."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "data"
"""Beside the project's folder: gpv1/*.json and cow/*.json, as their publishers have them."""

SOURCES = {"gpv1": "gnosis/dex-open-solver", "cow": "cowprotocol/solver-template-py"}


def real_data(name: str) -> bytes:
    """The bytes of `gpv1/….json` or `cow/….json`; skips the test where they are absent."""
    path = FOLDER / name
    if not path.exists():
        source = SOURCES[name.partition("/")[0]]
        pytest.skip(f"the published batch {name} is not in {path.parent}: get it from {source}")
    return path.read_bytes()
