"""Names, targets and words about nodes on Ray; no Ray is needed."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from support.market import signer

from walras.app.config import read_config
from walras.cli.commands.ray_up import spread, toml
from walras.cli.main import run
from walras.core.errors import InvalidInput
from walras.fleet.ray.values import Deployment, Placed, check_target, said

DEPLOYMENT = Deployment("baseline", Path("keys"), name="ray-a")
PLACED = Placed("ray-a-eu-1", "eu", "10.0.0.1:7000", signer("node").public_key, "ab", 1)


@pytest.mark.parametrize(("region", "number"), [("", 1), ("eu", 12), ("eu-west-1", 3)])
def test_a_name_says_region_and_number(region: str, number: int) -> None:
    assert DEPLOYMENT.place(DEPLOYMENT.node(region, number)) == (region, number)


@pytest.mark.parametrize(
    "name", ["", "ray-a", "ray-a-", "ray-1", "ray-a-eu", "ray-a-eu-0", "ray-a-eu-01", "ray-a-e u-1"]
)
def test_names_of_others(name: str) -> None:
    assert DEPLOYMENT.place(name) is None


def test_json_there_and_back() -> None:
    assert Deployment.from_json(DEPLOYMENT.to_json()) == DEPLOYMENT
    assert Placed.from_json(PLACED.to_json()) == PLACED


@pytest.mark.parametrize(
    "wrong", [{"address": "http://10.0.0.1"}, {"address": "10.0.0.1:99999"}, {"public_key": b"\0"}]
)
def test_a_word_that_cannot_be_dialled(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Placed.from_json(replace(PLACED, **wrong).to_json())  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [{"eu": -1}, {"eu": 1_025}, {"e/u": 1}, {"-eu": 1}])
def test_no_target(target: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        check_target(target)


@pytest.mark.parametrize("wrong", [{"name": "a b"}, {"name": ""}, {"slots": 0}])
def test_no_deployment(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        replace(DEPLOYMENT, **wrong)  # type: ignore[arg-type]


def test_a_hosts_error_is_its_last_word() -> None:
    frames = 'ray::SolverActor.__init__()\n  File "plugins.py", line 25, in load\n    raise no\n'
    assert said(f"The actor died\n{frames}InvalidInput: there is no solver\n") == (
        "InvalidInput: there is no solver"
    )
    assert said("two\nlines") == "two\nlines"
    assert said("  indented") == "indented"
    assert said(f"{frames}    no more") != ""
    assert said("x" * 2_000) == "x" * 1_000


def test_spread_over_regions() -> None:
    assert spread(5, ["eu", "us"]) == {"eu": 3, "us": 2}
    assert spread(1, ["eu", "us"]) == {"eu": 1, "us": 0}
    with pytest.raises(InvalidInput):
        spread(2, ["eu", "eu"])


def test_tables_for_the_engine(tmp_path: Path) -> None:
    solvers = tomllib.loads(toml([PLACED, replace(PLACED, name="ray-a-eu-2")]))["solvers"]
    assert [solver["name"] for solver in solvers] == ["ray-a-eu-1", "ray-a-eu-2"]
    assert solvers[0]["address"] == PLACED.address
    assert solvers[0]["public_key"] == PLACED.public_key.hex()
    assert "group" not in solvers[0]
    placed = [replace(PLACED, slots=4), replace(PLACED, name="ray-a-eu-2", slots=1_000)]
    solvers = tomllib.loads(toml(placed, "our.firm"))["solvers"]
    assert [solver["group"] for solver in solvers] == ["our.firm"] * 2
    assert [solver["slots"] for solver in solvers] == [4, 256]
    file = tmp_path / "walras.toml"
    file.write_text(toml(placed, "our.firm"))
    assert [node.group for node in read_config(file).nodes()] == ["our.firm"] * 2


def test_a_group_that_no_configuration_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fleet", "ray", "up", "--solver", "baseline", "--group", "a b"]) == 2
    assert "'a b' is no group's name" in capsys.readouterr().err
