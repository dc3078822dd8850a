"""Keys for the accounts of market files. WORTHLESS: who reads an account's name has its key.

Orders in files carry no Ed25519 signatures of their owners, and an engine accepts none without. So
a demonstration signs in the accounts' place, with keys that anybody can derive. Never put anything
of value behind one.
"""

import hashlib

_LABEL = "walras demo key, worthless: "


def demo_signer_seed(account_id: str) -> bytes:
    """The worthless Ed25519 seed, 32 bytes, of an account in a market file.

    SHA-256 over "walras demo key, worthless: " and the account's id, in UTF-8.
    """
    return hashlib.sha256((_LABEL + account_id).encode()).digest()
