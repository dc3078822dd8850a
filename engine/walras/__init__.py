"""Walras: signed trade intents in, audited settlements out."""

__version__ = "0.1.0"
