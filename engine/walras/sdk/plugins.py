"""Finding solvers: entry points of the group `walras.solvers`, or module:Class."""

from importlib import import_module
from importlib.metadata import entry_points

from walras.core.errors import InvalidInput, Reason
from walras.sdk.solver import Solver

GROUP = "walras.solvers"


def installed() -> dict[str, str]:
    """Installed solvers: name → module:Class."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


def load(target: str) -> Solver:
    """The solver named `target`: an installed one's name, or module:Class.

    Raises:
        InvalidInput: CONFIG_INVALID, saying what is wrong with the name or the class.
    """
    module_name, colon, class_name = installed().get(target, target).partition(":")
    if not colon:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"there is no solver {target!r}",
            hint=f"installed: {', '.join(sorted(installed()))}; or name one as module:Class",
        )
    try:
        made = getattr(import_module(module_name), class_name)()
    except ModuleNotFoundError as error:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"solver {target!r} cannot be loaded: {error}",
            hint="a module is looked for among the installed ones and in this folder; another"
            " folder goes into PYTHONPATH",
        ) from error
    except Exception as error:
        # A guest's code: whatever it raises is what is wrong with it.
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"solver {target!r} cannot be loaded: {type(error).__name__}: {error}",
            hint=f"where: python -c 'from {module_name} import {class_name}; {class_name}()'",
        ) from error
    if not isinstance(made, Solver):
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"{target} is not a solver",
            hint="a solver has describe() and solve(problem, deadline)",
        )
    return made
