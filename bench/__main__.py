"""`make bench`: every benchmark, or those named: `fleet` is all of the fleet's."""

import sys

from bench import (
    auctions,
    audit,
    byte_flip,
    fleet_capacity,
    fleet_dispatch,
    fleet_live,
    fleet_sim,
    intake,
    machine,
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
    "byte-flip": byte_flip.run,
    **FLEET,
}


def main() -> None:
    """Run them."""
    asked = sys.argv[1:] or list(BENCHES)
    names = [name for one in asked for name in (FLEET if one == "fleet" else [one])]
    print(machine.describe())
    for name in names:
        BENCHES[name]()


if __name__ == "__main__":
    main()
