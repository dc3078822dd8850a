"""The configuration's documents are complete and true."""

import re
import tomllib
from pathlib import Path

from walras.app.config import Config, RulesConfig, SolverConfig, read_config

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "walras.example.toml"


def test_the_example_is_the_defaults() -> None:
    assert read_config(EXAMPLE).model_dump() == read_config(None).model_dump()


def test_the_example_names_every_key() -> None:
    text = EXAMPLE.read_text()
    written = tomllib.loads(text)
    commented = set(re.findall(r"^# (\w+) = ", text, re.MULTILINE))
    assert set(written) | commented >= set(Config.model_fields)
    assert set(written["rules"]) == set(RulesConfig.model_fields)
    assert set(written["solvers"][0]) | commented >= set(SolverConfig.model_fields)


def test_the_reference_has_a_row_for_every_key_and_no_other() -> None:
    text = (DOCS / "configuration.md").read_text()
    main, rules, solvers = re.split(r"^## ", text, flags=re.MULTILINE)

    def rows(part: str) -> set[str]:
        return set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))

    assert rows(main) == set(Config.model_fields)
    assert rows(rules) == set(RulesConfig.model_fields)
    assert rows(solvers) == set(SolverConfig.model_fields)


def test_the_reference_states_the_defaults() -> None:
    text = (DOCS / "configuration.md").read_text()
    for name, field in {**Config.model_fields, **RulesConfig.model_fields}.items():
        if isinstance(field.default, int | str):
            row = re.search(rf"^\| `{name}` \| ([^|]+) \|", text, re.MULTILINE)
            assert row is not None
            assert row[1].strip().strip("`") == str(field.default)
