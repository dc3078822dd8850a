"""A recorded log, forgeries of it, and the solvers that it was made with."""
