"""Configuration: a TOML file, then WALRAS_… in the environment, then flags.

Unknown keys of the file are errors. Unknown variables are not: Kubernetes, for one, sets
WALRAS_PORT wherever a service is called walras.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from walras.core.errors import InvalidInput, Reason
from walras.fleet.nodes import NodeSpec
from walras.protocol.problem import Rules

_HEX_KEY = Field(pattern=r"^[0-9a-f]{64}$")
_DEFAULT = Rules()
_NAME = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")


class RulesConfig(BaseModel):
    """`[rules]`: the parameters of the auction, logged whenever they change."""

    model_config = ConfigDict(extra="forbid")

    collar_bps: Annotated[int, Field(ge=1, le=10_000)] = _DEFAULT.collar_bps
    reward_cap: Annotated[int, Field(ge=0, lt=1 << 62)] = _DEFAULT.reward_cap
    max_bids: Annotated[int, Field(ge=1, le=65_536)] = _DEFAULT.max_bids
    max_open_per_owner: Annotated[int, Field(ge=1, le=10_000_000)] = _DEFAULT.max_open_per_owner
    max_open: Annotated[int, Field(ge=1, le=10_000_000)] = _DEFAULT.max_open

    def value(self) -> Rules:
        """The rules."""
        return Rules(**self.model_dump())


class SolverConfig(BaseModel):
    """One `[[solvers]]`: a plugin that the engine starts, or the address of a node
    somebody runs.
    """

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, _NAME]
    plugin: str = ""
    address: str = ""
    public_key: Annotated[str, _HEX_KEY] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "SolverConfig":
        if bool(self.plugin) == bool(self.address):
            raise ValueError("give either plugin or address")
        return self


class Config(BaseSettings):
    """All that an engine is told.

    Attributes:
        domain: the engine's name and its log's origin, such as auction.example.org/main; never
            changes.
        data: folder of the database and the keys.
        listen: host:port of the gRPC server.
        interval_ms: a batch gathers intents at least this long.
        solve_ms: solvers have this long.
        operators: public keys that may deposit and put venues; empty: a key made in the data
            folder.
        engine_key, operator_key: key files; made in the data folder where they are not given.
        rules: of the auction.
        solvers: the nodes to ask.
        log_format: of the program's own log on standard error.
    """

    model_config = SettingsConfigDict(
        env_prefix="WALRAS_", env_nested_delimiter="__", extra="forbid"
    )

    domain: Annotated[str, Field(pattern=r"^[!-*,-~]{1,64}$")] = "localhost/walras"
    data: Path = Path("walras-data")
    listen: str = "127.0.0.1:7400"
    interval_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 2_000
    solve_ms: Annotated[int, Field(ge=10, le=600_000)] = 2_000
    operators: list[Annotated[str, _HEX_KEY]] = []
    engine_key: Path | None = None
    operator_key: Path | None = None
    rules: RulesConfig = RulesConfig()
    solvers: list[SolverConfig] = [
        SolverConfig(name="baseline", plugin="baseline"),
        SolverConfig(name="optimizer", plugin="optimizer"),
    ]
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _distinct_names(self) -> "Config":
        names = [solver.name for solver in self.solvers]
        if len(set(names)) != len(names):
            raise ValueError("two solvers have the same name")
        return self

    def nodes(self) -> list[NodeSpec]:
        """The nodes to ask."""
        return [
            NodeSpec(
                name=solver.name,
                plugin=solver.plugin,
                address=solver.address,
                public_key=bytes.fromhex(solver.public_key or ""),
                key_file=self.data / "solvers" / f"{solver.name}.key" if solver.plugin else None,
            )
            for solver in self.solvers
        ]


def read_config(path: Path | None, **flags: Any) -> Config:
    """The configuration: `path`'s TOML, then the environment, then `flags` that are not None.

    Raises:
        InvalidInput: CONFIG_INVALID, naming each wrong key.
    """
    if path is not None and not path.is_file():
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"there is no file {path}",
            hint="docs/examples/walras.example.toml is one to begin with",
        )

    class FileConfig(Config):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            file = TomlConfigSettingsSource(settings_cls, toml_file=path)
            return (init_settings, env_settings, file)

    try:
        return FileConfig(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'configuration'}: "
            f"{'there is no such key' if item['type'] == 'extra_forbidden' else item['msg']}"
            for item in error.errors()
        )
        raise InvalidInput(
            Reason.CONFIG_INVALID, wrong, hint="docs/configuration.md lists every key"
        ) from error
    except SettingsError as error:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"the environment: {error}",
            hint="a list or a table is written as JSON there: WALRAS_OPERATORS='[\"ab…\"]'",
        ) from error
    except ValueError as error:  # TOML that does not parse
        raise InvalidInput(Reason.CONFIG_INVALID, f"{path}: {error}") from error
