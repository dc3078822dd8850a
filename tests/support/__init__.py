"""Real parts for tests: a market, signed records, running engines, solvers and their nodes."""
