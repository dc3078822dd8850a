"""`make bench`: every benchmark, or those named: `fleet` is all of the fleet's.

`--quick` shortens those that have a short run.
"""

import sys

from bench import (
    auctions,
    audit,
    batch,
    byte_flip,
    fleet_capacity,
    fleet_dispatch,
    fleet_live,
    fleet_sim,
    intake,
    machine,
    portfolio,
    routing,
    selection,
    venues,
)

FLEET = {
    "fleet-sim": fleet_sim.run,
    "fleet-live": fleet_live.run,
    "fleet-dispatch": fleet_dispatch.run,
    "fleet-capacity": fleet_capacity.run,
}
BENCHES = {
    "intake": intake.run,
    "auctions": auctions.run,
    "audit": audit.run,
    "selection": selection.run,
    "venues": venues.run,
    "routing": routing.run,
    "batch": batch.run,
    "portfolio": portfolio.run,
    "byte-flip": byte_flip.run,
    **FLEET,
}


def main() -> None:
    """Run them."""
    asked = [name for name in sys.argv[1:] if not name.startswith("--")] or list(BENCHES)
    names = [name for one in asked for name in (FLEET if one == "fleet" else [one])]
    print(machine.describe())
    for name in names:
        BENCHES[name]()


if __name__ == "__main__":
    main()
