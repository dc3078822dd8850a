"""Configuration: defaults, then the file, then the environment, then flags."""

from pathlib import Path
from typing import Any

import pytest
from support.market import signer
from support.probes import seed

from walras.app.config import Config, read_config
from walras.app.engine import _fleet_rules
from walras.core.errors import InvalidInput, Reason
from walras.protocol.problem import Rules

KEY = "0f" * 32


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("WALRAS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("walras.toml")
    path.write_text(text)
    return path


def refused(path: Path | None = None, **flags: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_config(path, **flags)
    assert caught.value.reason is Reason.CONFIG_INVALID
    return caught.value.message


def test_defaults() -> None:
    config = read_config(None)
    assert config.domain == "localhost/walras"
    assert config.listen == "127.0.0.1:7400"
    assert config.rules.value() == Rules()
    assert [solver.name for solver in config.solvers] == ["baseline", "optimizer"]
    assert config.operators == []


def test_each_overrules_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    path = written('domain = "file"\nlisten = "file:1"\ninterval_ms = 11\nsolve_ms = 12\n')
    monkeypatch.setenv("WALRAS_LISTEN", "env:1")
    monkeypatch.setenv("WALRAS_INTERVAL_MS", "21")
    config = read_config(path, interval_ms=31, listen=None)
    assert config.domain == "file"
    assert config.solve_ms == 12
    assert config.listen == "env:1"
    assert config.interval_ms == 31


def test_nested_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    path = written("[rules]\ncollar_bps = 5\nmax_bids = 6\n")
    monkeypatch.setenv("WALRAS_RULES__MAX_BIDS", "7")
    rules = read_config(path).rules.value()
    assert (rules.collar_bps, rules.max_bids) == (5, 7)
    assert rules.reward_cap == Rules().reward_cap


def test_solvers() -> None:
    path = written(
        '[[solvers]]\nname = "own"\nplugin = "baseline"\n'
        f'[[solvers]]\nname = "theirs"\naddress = "host:1"\npublic_key = "{KEY}"\n'
    )
    own, theirs = read_config(path, data=Path("folder")).nodes()
    assert (own.plugin, own.address, own.public_key) == ("baseline", "", b"")
    assert own.key_file == Path("folder/solvers/own.key")
    assert (theirs.plugin, theirs.address) == ("", "host:1")
    assert theirs.public_key == bytes.fromhex(KEY)
    assert theirs.key_file is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("intervall_ms = 5", "intervall_ms"),
        ("[rules]\ncollar = 5", "rules.collar"),
        ('[[solvers]]\nname = "a"\nplugin = "b"\nadress = "c"', "solvers.0.adress"),
        ("interval_ms = 9", "interval_ms"),
        ("interval_ms = true_", "walras.toml"),
        ("interval_ms = 'soon'", "interval_ms"),
        ("solve_ms = 600001", "solve_ms"),
        ("[rules]\ncollar_bps = 0", "rules.collar_bps"),
        ("[rules]\ncollar_bps = 10001", "rules.collar_bps"),
        ("[rules]\nreward_cap = 4611686018427387904", "rules.reward_cap"),
        ("[rules]\nmax_open_per_owner = 4294967296", "rules.max_open_per_owner"),
        ("[rules]\nmax_bids = 0", "rules.max_bids"),
        ("domain = ''", "domain"),
        ("domain = 'a b'", "domain"),
        ("domain = 'a+b'", "domain"),
        ("operators = ['00']", "operators.0"),
        (f"operators = ['{KEY.upper()}']", "operators.0"),
        ('[[solvers]]\nname = "a"', "solvers.0"),
        ('[[solvers]]\nname = "a"\nplugin = "b"\naddress = "c:1"', "solvers.0"),
        ('[[solvers]]\nname = "../a"\nplugin = "b"', "solvers.0.name"),
        ('[[solvers]]\nname = "a"\nplugin = "b"\n[[solvers]]\nname = "a"\nplugin = "c"', "same"),
        ('[[solvers]]\nname = "a"\naddress = "b:1"\npublic_key = "00"', "solvers.0.public_key"),
        ("log_format = 'xml'", "log_format"),
        ("\x00", "walras.toml"),
    ],
)
def test_wrong_files(text: str, names: str) -> None:
    assert names in refused(written(text))


def test_every_wrong_key_is_named() -> None:
    message = refused(written("one = 1\nsolve_ms = 1\n"))
    assert "one" in message
    assert "solve_ms" in message


def test_what_is_wrong_is_said_in_our_words() -> None:
    message = refused(written("[fleet]\nfan_out = 10001\n"))
    assert message == "fleet: fan_out: must be from 1 to 10000"


@pytest.mark.parametrize("text", ["100000000000000000000", '"100000000000000000000"'])
def test_a_bond_of_an_asset_with_18_decimals(text: str) -> None:
    config = read_config(written(f"[fleet]\nmin_bond = {text}\n"))
    assert config.fleet.min_bond == 100 * 10**18


@pytest.mark.parametrize("text", ['"1e20"', '"-1"', '""', '"٣"', "-1", str(1 << 255)])
def test_what_is_no_bond(text: str) -> None:
    assert "fleet: min_bond: must be" in refused(written(f"[fleet]\nmin_bond = {text}\n"))


A_KEY, B_KEY = "0a" * 32, "0b" * 32


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("block_ms = 5000\nmax_block_ms = 4999", "max_block_ms: must not be below block_ms"),
        ('policy = "prequal"\nprobe_pool_size = 1', "probe_pool_size: prequal chooses between"),
        ("quorum = 2", "quorum: must not be above the number of probers, 1"),
        (f'quorum = 4\nprobers = ["{A_KEY}", "{B_KEY}"]', "above the number of probers, 3"),
    ],
)
def test_a_fleet_that_cannot_work(table: str, message: str) -> None:
    assert message in refused(written(f"[fleet]\n{table}\n"))


def test_the_engines_own_prober_named_twice_counts_once() -> None:
    own = signer("prober").public_key.hex()
    config = read_config(written(f'[fleet]\nquorum = 2\nprobers = ["{own}"]\n'))
    assert len(_fleet_rules(config, seed("other")).probers) == 2
    with pytest.raises(InvalidInput, match="quorum: must not be above") as caught:
        _fleet_rules(config, seed("prober"))
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_the_engines_own_prober_counts_for_the_quorum() -> None:
    text = f'[fleet]\nquorum = 3\nprobers = ["{A_KEY}", "{B_KEY}"]\nprobe_pool_size = 1\n'
    assert read_config(written(text)).fleet.quorum == 3


def test_wrong_flags_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "unknown" in refused(unknown=1)
    assert "interval_ms" in refused(interval_ms=0)
    monkeypatch.setenv("WALRAS_INTERVAL_MS", "often")
    assert "interval_ms" in refused()
    assert read_config(None, interval_ms=50).interval_ms == 50


def test_unparseable_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WALRAS_SOLVERS", "[not json")
    refused()


def test_unknown_nested_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WALRAS_RULES__COLLAR", "5")
    assert "rules.collar" in refused()


def test_strangers_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets WALRAS_PORT and its like wherever a service is called walras."""
    monkeypatch.setenv("WALRAS_PORT", "tcp://10.0.0.1:7400")
    assert read_config(None).model_dump() == Config().model_dump()


def test_no_such_file(tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path / "none.toml")
    assert "no file" in refused(tmp_path)


def test_a_dotenv_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WALRAS_INTERVAL_MS=77\n")
    assert read_config(None).interval_ms == Config().interval_ms
