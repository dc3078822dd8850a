"""docs/threat-model.md is whole: every cell has its verdict, and every attack it names exists."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/threat-model.md").read_text()

ACTORS = [
    *("user", "solver", "auctioneer", "feeder", "witness", "log host", "network"),
    *("user + solver", "solver + solver", "auctioneer + solver", "auctioneer + log host"),
    *("auctioneer + witness", "feeder + solver"),
]
ATTACKS = [
    *("forge", "replay", "omit", "reorder", "rewrite", "split view", "last look", "shill"),
    *("non-reveal", "price push", "collar abuse", "denial"),
]
VERDICTS = {"prevented", "A", "B", "C", "evidence", "witness", "accepted", "none"}

RUNS = {
    "attacks.py": ("test_replay.py", "ATTACKS"),
    "bid_attacks.py": ("test_sealed_bids.py", "BID_ATTACKS"),
    "fleet_attacks.py": ("test_fleet_replay.py", "FLEET_ATTACKS"),
    "price_attacks.py": ("test_price_replay.py", "PRICE_ATTACKS"),
}
"""Files of attacks, and who runs all of each."""


def section(title: str) -> str:
    _, found, rest = TEXT.partition(f"\n## {title}\n")
    assert found, title
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def known() -> dict[str, set[str]]:
    """File → the functions in it, and the names under which attacks are registered."""
    found: dict[str, set[str]] = defaultdict(set)
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("tests/support/audit/*attacks.py")]
    for file in files:
        assert file.name not in found, file
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[file.name].add(node.name)
            elif isinstance(node, ast.Dict) and file.name in RUNS:
                keys = (key for key in node.keys if isinstance(key, ast.Constant))
                found[file.name] |= {key.value for key in keys if isinstance(key.value, str)}
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "_without":
                assert isinstance(node.args[0], ast.Constant)
                name = node.args[0].value
                found[file.name] |= {f"{name}_blob_missing", f"{name}_blob_changed"}
    return found


def check(name: str) -> None:
    file, _, function = name.partition("::")
    assert function in known()[file], name
    assert file in RUNS or function.startswith("test_"), name


def test_the_matrix_has_every_cell() -> None:
    head, *_ = (line for line in section("The matrix").splitlines() if line.startswith("|"))
    assert [cell.strip() for cell in head.strip("|").split("|")][1:] == ATTACKS
    table = {row[0]: row[1:] for row in rows(section("The matrix"))}
    assert list(table) == ACTORS
    for actor, cells in table.items():
        assert len(cells) == len(ATTACKS), actor
        for cell in cells:
            assert words(cell), actor
            assert VERDICTS.issuperset(words(cell)), (actor, cell)
    told = [row[0] for row in rows(section("The matrix").partition("## ")[0])]
    assert told == ACTORS


def test_verdicts_are_those_that_are_explained() -> None:
    table = TEXT.partition("**Verdicts.**")[2].partition("Detection by")[0]
    assert {words(row[0])[0] for row in rows(table)} == VERDICTS


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_says_of_everybody_what_comes_of_it(attack: str) -> None:
    place = ATTACKS.index(attack) + 1
    summary = {row[0]: row[place] for row in rows(section("The matrix"))}
    table = rows(section(attack.capitalize()))
    assert [row[0] for row in table] == ACTORS
    for actor, verdict, why, tests in table:
        assert verdict == summary[actor], actor
        assert why.endswith("."), actor
        assert (verdict == "`none`") == (not words(tests)), actor
        for name in words(tests):
            check(name)


def test_forged_awards_have_their_attacks() -> None:
    table = rows(section("Forged awards"))
    assert len(table) == 7
    for _, tests, record in table:
        assert words(tests)
        assert words(record)
        for name in words(tests):
            check(name)


@pytest.mark.parametrize("file", RUNS)
def test_attacks_are_run_by_a_test(file: str) -> None:
    runner, registry = RUNS[file]
    (path,) = ROOT.glob(f"tests/**/{runner}")
    assert f'@pytest.mark.parametrize("name", {registry})' in path.read_text()
    # A name that is only used by others, as a helper, is no attack.
    source = (ROOT / "tests/support/audit" / file).read_text()
    named = {w.partition("::")[2] for w in words(TEXT) if w.startswith(f"{file}::")}
    for function in named:
        registered = (
            re.search(rf"@refused_for\([^)]*\)\ndef {function}\(", source)
            or f'"{function}":' in source
            or re.fullmatch(r"\w+_blob_(missing|changed)", function)
        )
        assert registered, function
