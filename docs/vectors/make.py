"""Write the test vectors of the protocol: one JSON file a subject.

    python docs/vectors/make.py [FOLDER]

into this folder, or another. The same release writes the same bytes, on every machine.
"""

import json
import sys
from pathlib import Path

from auctions import bids
from chance import dispatch, vrf
from intents import intents
from logs import notes, proofs
from records import envelopes, sealed_bids
from swaps import venues
from winners import selection

VECTORS = {
    "envelopes": envelopes,
    "intents": intents,
    "bids": bids,
    "selection": selection,
    "sealed-bids": sealed_bids,
    "vrf": vrf,
    "dispatch": dispatch,
    "notes": notes,
    "proofs": proofs,
    "venues": venues,
}


def write(folder: Path) -> None:
    """Write every file into `folder`, which must be there."""
    for name, made in VECTORS.items():
        text = json.dumps(made(), indent=0) + "\n"
        (folder / f"{name}.json").write_text(text, "ascii")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
