"""The configuration's documents are complete and true."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from walras.app.config import (
    CanaryConfig,
    Config,
    LogConfig,
    PaceConfig,
    RayConfig,
    RulesConfig,
    ScaleConfig,
    SolverConfig,
    read_config,
)
from walras.balance.rules import FleetRules

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "walras.example.toml"


def test_the_example_is_the_defaults() -> None:
    assert read_config(EXAMPLE).model_dump() == read_config(None).model_dump()


TABLES = {
    "[rules]": set(RulesConfig.model_fields),
    "[[solvers]]": set(SolverConfig.model_fields),
    "[fleet]": {field.name for field in fields(FleetRules)},
    "[pace]": set(PaceConfig.model_fields),
    "[scale]": set(ScaleConfig.model_fields),
    "[ray]": set(RayConfig.model_fields),
    "[canaries]": set(CanaryConfig.model_fields),
    "[log]": set(LogConfig.model_fields),
}


def test_the_example_names_every_key() -> None:
    text = EXAMPLE.read_text()
    written = tomllib.loads(text)
    commented = set(re.findall(r"^# \[?(\w+)(?: = |\])", text, re.MULTILINE))
    assert set(written) | commented >= set(Config.model_fields)
    assert set(written["rules"]) == set(RulesConfig.model_fields)
    assert set(written["fleet"]) == TABLES["[fleet]"]
    assert set(written["solvers"][0]) | commented >= set(SolverConfig.model_fields)
    assert (
        commented >= TABLES["[pace]"] | TABLES["[scale]"] | TABLES["[ray]"] | TABLES["[canaries]"]
    )


def test_what_the_example_leaves_out_can_be_put_in(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    file = tmp_path / "all.toml"
    tables = r"^# (\[(?:pace|scale|ray|canaries|log)\]\n(?:# \w+ = .*\n)+)"
    found = re.findall(tables, text, re.MULTILINE)
    assert len(found) == 5
    file.write_text(text + "\n" + "\n".join(table.replace("\n# ", "\n") for table in found))
    config = read_config(file)
    for table in (config.pace, config.scale, config.ray, config.canaries, config.log):
        assert table is not None
        made = type(table)(
            **{name: getattr(table, name) for name in type(table).model_fields if name == "solver"}
        )
        assert table == made


def test_the_reference_has_a_row_for_every_key_and_no_other() -> None:
    text = (DOCS / "configuration.md").read_text()
    main, *tables = re.split(r"^## ", text, flags=re.MULTILINE)

    def rows(part: str) -> set[str]:
        return set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))

    assert rows(main) == set(Config.model_fields)
    shown = {table.partition("\n")[0].strip("`"): rows(table) for table in tables}
    assert shown == TABLES


def test_the_reference_states_the_defaults() -> None:
    text = (DOCS / "configuration.md").read_text()
    main, *tables = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = {table.partition("\n")[0].strip("`"): table for table in tables}
    defaults: dict[str, dict[str, object]] = {
        name: {key: field.default for key, field in model.model_fields.items()}
        for name, model in {
            "": Config,
            "[rules]": RulesConfig,
            "[pace]": PaceConfig,
            "[scale]": ScaleConfig,
            "[ray]": RayConfig,
            "[canaries]": CanaryConfig,
        }.items()
    }
    defaults["[fleet]"] = {field.name: field.default for field in fields(FleetRules)}
    for name, table in defaults.items():
        for key, default in table.items():
            if isinstance(default, int | str):
                row = re.search(rf"^\| `{key}` \| ([^|]*) \|", parts.get(name, main), re.MULTILINE)
                assert row is not None, key
                shown = str(default).lower() if isinstance(default, bool) else str(default)
                assert row[1].strip().strip("`") == shown, key
