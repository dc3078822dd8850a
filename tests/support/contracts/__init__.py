"""Contracts that others wrote, run in an EVM: what the venues' arithmetic is compared with."""
