"""The fuzz targets over their corpus, as it is and a little changed: `make fuzz` goes further."""

from pathlib import Path
from random import Random

import pytest
from fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
CHANGES = 12
"""Of each input."""


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_target_bears_its_corpus(target: str) -> None:
    paths = sorted((CORPUS / target).iterdir())
    assert paths
    for path in paths:
        TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_target_bears_what_is_nearly_its_corpus(target: str) -> None:
    rng = Random(target)
    for path in sorted((CORPUS / target).iterdir()):
        data = path.read_bytes()
        for _ in range(CHANGES):
            TARGETS[target](changed(data, rng))


def changed(data: bytes, rng: Random) -> bytes:
    """Cut short, grown, or with some bytes replaced."""
    at = rng.randrange(len(data) + 1)
    match rng.randrange(4):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
        case 2:
            return data[:at] + data[at + rng.randrange(1, 9) :]
        case _:
            flipped = bytearray(data)
            for place in rng.sample(range(len(data)), min(len(data), rng.randrange(1, 4))):
                flipped[place] ^= 1 << rng.randrange(8)
            return bytes(flipped)
