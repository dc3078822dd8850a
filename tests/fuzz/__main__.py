"""`make fuzz`: every target, or those named, each for some seconds; executions and coverage.

An input that a target does not bear is kept below build/fuzz, and named; it belongs into the
corpus, where the ordinary tests run it from then on.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path("build/fuzz")
MISSING = (
    "fuzzing needs atheris, which the extra `fuzz` brings (Linux and macOS, CPython 3.11 to 3.13):"
    " .venv/bin/uv pip install --python .venv/bin/python -e '.[fuzz]'"
)
MAX_BYTES = 1 << 12
COMPILED = [
    f"walras.auction.{name}"
    for name in (
        "branching",
        "packing",
        "relaxation",
        "search",
        "selection",
        "separation",
        "simplex",
    )
]
"""Of the search for winners, which no input from outside reaches; Numba refuses marks in them."""
_DONE = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
_BEGAN = re.compile(r"#\d+\s+INITED cov: (\d+)")


def run_target(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["walras"], exclude=COMPILED):
        from fuzz.targets import TARGETS, log

    log()  # so that no input is blamed for the time this takes
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own and print a line; whether it bore everything."""
    FOUND.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).mkdir(parents=True, exist_ok=True)  # git keeps no empty folder
    with tempfile.TemporaryDirectory() as fresh:
        command = [
            *(sys.executable, "-m", "fuzz", "--target", name, fresh, str(CORPUS / name)),
            *(f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", "-timeout=20"),
            f"-artifact_prefix={FOUND}/{name}-",
        ]
        # Of its output only the last lines matter, but all of it is wanted where it fails.
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=seconds + 300
        )
    output = done.stdout + done.stderr
    last, began = _DONE.search(output), _BEGAN.search(output)
    if done.returncode or last is None:
        print(f"{name:<16}FAILED\n{output[-4_000:]}")
        return False
    executions, coverage, features, kept = map(int, last.groups())
    at_first = int(began.group(1)) if began else 0
    print(f"{name:<16}{executions:>12,}{at_first:>10,}{coverage:>10,}{features:>10,}{kept:>8,}")
    return True


def main() -> int:
    """0 where every target bore everything."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    asked = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    known = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
    if unknown := set(asked.targets) - set(known):
        print(f"no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        return 2
    columns = ("executions", "cov. then", "cov. now", "features", "kept")
    print(f"{asked.seconds} s each\n{'target':<16}{columns[0]:>12}", end="")
    print(
        "".join(
            f"{name:>{width}}" for name, width in zip(columns[1:], (10, 10, 10, 8), strict=True)
        )
    )
    held = [
        fuzz(name, asked.seconds) for name in asked.targets or known
    ]  # every one, whatever fails
    return 0 if all(held) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        run_target(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
