"""A new solver's project: files with its name in them."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from string import Template

from walras.core.errors import InvalidInput, Reason
from walras.sdk.plugins import installed

MAX_NAME = 50

_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "init.py": "src/{module}/__init__.py",
    "solver.py": "src/{module}/solver.py",
    "test_solver.py": "tests/test_solver.py",
}
"""File of the template, less its .txt → file of the project."""

_TAKEN = {"src", "tests"}


def write_project(name: str, folder: Path) -> list[Path]:
    """Write the project `name` into `folder`, which must not be there; the files that were written.

    Raises:
        InvalidInput: FIELD_INVALID for a name that cannot be one, or a folder that is there.
        OSError: as the file system has it.
    """
    names = project_names(name)
    template = files("walras.cli") / "template"
    texts = {
        target.format(module=names["module"]): Template(
            (template / f"{source}.txt").read_text("utf-8")
        ).substitute(names)
        for source, target in _FILES.items()
    }
    texts[f"src/{names['module']}/py.typed"] = ""
    try:
        folder.mkdir()
    except FileExistsError:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{folder} is there already",
            hint="choose another name or --out; nothing is written over",
            field="out",
        ) from None
    written = []
    for place, text in sorted(texts.items()):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        written.append(path)
    return written


def project_names(name: str) -> Mapping[str, str]:
    """What stands in the template for a solver of this name.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    if len(name) > MAX_NAME or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise _invalid(
            f"{name[:80]!r} cannot be a solver's name",
            "lower-case letters, digits and single hyphens, a letter first,"
            f" at most {MAX_NAME}: my-solver",
        )
    module = name.replace("-", "_")
    if name in installed():
        raise _invalid(
            f"a solver {name!r} is installed", "walras solver list shows those that are taken"
        )
    spec = None if iskeyword(module) else find_spec(module)
    # A folder of this name that is looked at is none, and has no origin.
    if iskeyword(module) or module in _TAKEN or (spec is not None and spec.origin):
        raise _invalid(f"Python has another use for {module!r}", f"try {name}-solver")
    words = "".join(word.capitalize() for word in name.split("-"))
    return {
        "name": name,
        "module": module,
        # With a suffix no name is that of anything in walras.sdk that the solver imports.
        "class_name": words if words.endswith("Solver") else f"{words}Solver",
        "version": version("walras"),
    }


def _invalid(message: str, hint: str) -> InvalidInput:
    return InvalidInput(Reason.FIELD_INVALID, message, hint=hint, field="name")
