"""Where module:Class is looked for."""

import os
import sys


def search_here() -> None:
    """Let module:Class be a file of this folder, as it is for the nodes that an engine starts."""
    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if here not in sys.path:
        sys.path.append(here)
