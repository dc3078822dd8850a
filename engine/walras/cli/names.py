"""Names that commands make up."""

import re


def node_name(target: str) -> str:
    """A node's name, as configuration takes it, for a solver's name, module:Class or address."""
    return re.sub(r"[^a-zA-Z0-9._-]", "-", target).strip("-._")[:56] or "solver"
