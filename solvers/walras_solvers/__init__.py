"""The built-in solvers. They use `walras.sdk` and `walras.core` values only, like any guest."""

import os

# Nodes solve several parts beside each other, and their matrices are small: threads of OpenBLAS
# that wait for one another take several times as long as one alone. Read when numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
