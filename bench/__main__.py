"""`make bench`: every benchmark, or those named on the command line."""

import sys

from bench import auctions, intake, machine

BENCHES = {"intake": intake.run, "auctions": auctions.run}


def main() -> None:
    """Run them."""
    names = sys.argv[1:] or list(BENCHES)
    print(machine.describe())
    for name in names:
        BENCHES[name]()


if __name__ == "__main__":
    main()
