"""The built-in solvers. They use `walras.sdk` and `walras.core` values only, like any guest."""
