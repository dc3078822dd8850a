"""An intent of any shape as JSON: the keys of a market file's intent without its account."""

from pathlib import Path

from walras.datasets.market import MarketIntent
from walras.datasets.market_shape import shape_intent
from walras.datasets.strict_json import parse_strict


def read_intent(path: Path) -> MarketIntent:
    """The intent in the file at `path`.

    Raises:
        InvalidInput: MARKET_FILE_INVALID; `fields["path"]` names the place.
        OSError: there is no such file.
    """
    return shape_intent(parse_strict(path.read_bytes()))
