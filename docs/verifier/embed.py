"""Put walras-verify.mjs into index.html, so that the page is one file that works from a disk.

    python docs/verifier/embed.py

A browser loads no module from a file:// page, so the page holds the module's text. Its security
policy admits this script and style only, by their hashes.
"""

import base64
import re
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "index.html"
MODULE = HERE / "walras-verify.mjs"

_BEGIN, _END = "// --- walras-verify.mjs\n", "// --- the page\n"


def embedded(page: str, module: str) -> str:
    """`page` with the module in its place and the hashes in its security policy."""
    if "</script" in module or _END in module:
        raise ValueError("the module has a text that would end its place in the page")
    head, _, rest = page.partition(_BEGIN)
    tail = rest.partition(_END)[2]
    page = f"{head}{_BEGIN}{module}{_END}{tail}"
    policy = (
        f"default-src 'none'; script-src {_hash(page, 'script')}; style-src {_hash(page, 'style')};"
        " connect-src http: https:; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return re.sub(r'(Security-Policy" content=")[^"]*', lambda found: found[1] + policy, page)


def _hash(page: str, element: str) -> str:
    """The hash that admits the page's one inline `element`."""
    (text,) = re.findall(rf"<{element}[^>]*>(.*?)</{element}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


if __name__ == "__main__":
    PAGE.write_text(embedded(PAGE.read_text("utf-8"), MODULE.read_text("utf-8")), "utf-8")
