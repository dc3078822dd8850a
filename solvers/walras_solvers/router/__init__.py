"""Optimal split routing by dual decomposition."""

from walras_solvers.router.plans import Plan, plan, route
from walras_solvers.router.solver import Router
from walras_solvers.router.space import Space, make_space
from walras_solvers.router.sparse import Net, sparsify

__all__ = ["Net", "Plan", "Router", "Space", "make_space", "plan", "route", "sparsify"]
