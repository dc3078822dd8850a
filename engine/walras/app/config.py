"""Configuration: a TOML file, then WALRAS_… in the environment, then flags.

Unknown keys of the file are errors. Unknown variables are not: Kubernetes, for one, sets
WALRAS_PORT wherever a service is called walras.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from walras.balance.pace import Pace, PaceRules
from walras.balance.rules import FleetRules, read_rules
from walras.balance.scaling import ScalingRules
from walras.core.assets import check_asset_id
from walras.core.errors import InvalidInput, Reason
from walras.fleet.nodes import NodeSpec
from walras.fleet.ray.values import Deployment
from walras.protocol.codec import MAX_OPERATORS
from walras.protocol.fleet import MAX_NAME_BYTES
from walras.protocol.problem import MAX_FEEDERS, MAX_NUMERAIRE_DECIMALS, Rules

_HEX_KEY = Field(pattern=r"^[0-9a-f]{64}$")
_DEFAULT = Rules()
_LABEL = Field(pattern=r"^[a-zA-Z0-9._-]{0,64}$")
_NAME = Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")


class RulesConfig(BaseModel):
    """`[rules]`: the parameters of the auction, logged whenever they change."""

    model_config = ConfigDict(extra="forbid")

    collar_bps: Annotated[int, Field(ge=1, le=10_000)] = _DEFAULT.collar_bps
    reward_cap: Annotated[int, Field(ge=0, lt=1 << 62)] = _DEFAULT.reward_cap
    max_bids: Annotated[int, Field(ge=1, le=65_536)] = _DEFAULT.max_bids
    max_open_per_owner: Annotated[int, Field(ge=1, le=10_000_000)] = _DEFAULT.max_open_per_owner
    max_open: Annotated[int, Field(ge=1, le=10_000_000)] = _DEFAULT.max_open
    min_venue_value: Annotated[int, Field(ge=0, lt=1 << 62)] = _DEFAULT.min_venue_value
    max_price_ratio: Annotated[int, Field(ge=0, lt=1 << 31)] = _DEFAULT.max_price_ratio
    max_venue_age_ms: Annotated[int, Field(ge=0, lt=1 << 62)] = _DEFAULT.max_venue_age_ms
    max_venue_move_bps: Annotated[int, Field(ge=0, lt=1 << 31)] = _DEFAULT.max_venue_move_bps
    sealed_bids: bool = _DEFAULT.sealed_bids
    feeders: Annotated[list[Annotated[str, _HEX_KEY]], Field(max_length=MAX_FEEDERS)] = []
    price_quorum: Annotated[int, Field(ge=1, le=MAX_FEEDERS + 2)] = _DEFAULT.price_quorum
    max_price_age_ms: Annotated[int, Field(ge=0, lt=1 << 62)] = _DEFAULT.max_price_age_ms
    max_price_move_bps: Annotated[int, Field(ge=0, le=10_000)] = _DEFAULT.max_price_move_bps
    max_price_spread_bps: Annotated[int, Field(ge=0, le=10_000)] = _DEFAULT.max_price_spread_bps
    numeraire: str = _DEFAULT.numeraire
    numeraire_decimals: Annotated[int, Field(ge=0, le=MAX_NUMERAIRE_DECIMALS)] = (
        _DEFAULT.numeraire_decimals
    )
    min_path_depth: Annotated[int, Field(ge=0, lt=1 << 62)] = _DEFAULT.min_path_depth

    @model_validator(mode="after")
    def _sources(self) -> "RulesConfig":
        if self.numeraire:
            try:
                check_asset_id(self.numeraire)
            except InvalidInput as error:
                raise ValueError(f"numeraire: {error.message}") from error
        if self.price_quorum > 1 + len(set(self.feeders)) + bool(self.numeraire):
            raise ValueError(
                "price_quorum: there are not so many sources; they are the operator, each of"
                " feeders, and the venues where there is a numeraire"
            )
        return self

    def value(self) -> Rules:
        """The rules."""
        feeders = tuple(sorted({bytes.fromhex(key) for key in self.feeders}))
        return Rules(**self.model_dump(exclude={"feeders"}), feeders=feeders)


class SolverConfig(BaseModel):
    """One `[[solvers]]`: a plugin that the engine starts, or the address of a node
    somebody runs.

    Attributes:
        group: who operates it; caps count per group.
        region: where it is; empty: what the node says.
        slots: problems that it works on at the same time; a node that somebody runs may say
            fewer.
    """

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, _NAME]
    plugin: str = ""
    address: str = ""
    public_key: Annotated[str, _HEX_KEY] | None = None
    group: Annotated[str, _LABEL] = ""
    region: Annotated[str, _LABEL] = ""
    slots: Annotated[int, Field(ge=1, le=256)] = 1

    @model_validator(mode="after")
    def _one_of(self) -> "SolverConfig":
        if bool(self.plugin) == bool(self.address):
            raise ValueError("give either plugin or address")
        return self


_PACE = PaceRules()
_SCALE = ScalingRules()
Milliseconds = Annotated[int, Field(ge=0, le=86_400_000)]


class PaceConfig(BaseModel):
    """`[pace]`: how far interval, collar and fan-out move under stress; see docs/capacity.md.

    What they are in calm is `interval_ms`, `rules.collar_bps` and `fleet.fan_out`.
    """

    model_config = ConfigDict(extra="forbid")

    min_interval_ms: Annotated[int, Field(ge=10)] = _PACE.min_interval_ms
    max_interval_ms: Annotated[int, Field(ge=10, le=3_600_000)] = _PACE.max_interval_ms
    max_collar_bps: Annotated[int, Field(ge=1, le=10_000)] = _PACE.max_collar_bps
    min_fan_out: Annotated[int, Field(ge=1)] = _PACE.min_fan_out
    utilisation_bps: Annotated[int, Field(ge=1, le=10_000)] = _PACE.utilisation_bps
    fixed_bps: Annotated[int, Field(ge=0, le=10_000)] = _PACE.fixed_bps
    drift_bps: Annotated[int, Field(ge=1)] = _PACE.drift_bps
    collar_sigmas: Annotated[int, Field(ge=0)] = _PACE.collar_sigmas
    price_age_ms: Milliseconds = _PACE.price_age_ms
    tolerance_bps: Annotated[int, Field(ge=0, le=10_000)] = _PACE.tolerance_bps
    hold_ms: Milliseconds = _PACE.hold_ms


class ScaleConfig(BaseModel):
    """`[scale]`: a plugin that runs as often as the load needs.

    Attributes:
        solver: the name of one of `[[solvers]]` that is a plugin, or of `[ray]`.
        min_nodes, max_nodes: of it.
        delay_bps: share of calls that may find no slot free.
    """

    model_config = ConfigDict(extra="forbid")

    solver: Annotated[str, _NAME]
    min_nodes: Annotated[int, Field(ge=1)] = _SCALE.min_nodes
    max_nodes: Annotated[int, Field(ge=1, le=1_000)] = 4
    delay_bps: Annotated[int, Field(gt=0, lt=10_000)] = _SCALE.delay_bps
    tolerance_bps: Annotated[int, Field(ge=0, lt=10_000)] = _SCALE.tolerance_bps
    cool_down_ms: Milliseconds = _SCALE.cool_down_ms

    def rules(self, slots: int) -> ScalingRules:
        """The rules, for nodes of so many slots."""
        return ScalingRules(slots=slots, **self.model_dump(exclude={"solver"}))


class RayConfig(BaseModel):
    """`[ray]`: nodes of one solver on a Ray cluster; see docs/ray.md.

    Attributes:
        solver: an installed solver's name or module:Class, on the cluster's hosts.
        nodes: how many, over all regions, to begin with.
        regions: hosts with the resource region:<name>; empty: anywhere.
        address, namespace: of the cluster.
        name: nodes are called <name>-<region>-<number>.
        slots: of each node, and CPUs that it reserves.
        group: who operates them.
    """

    model_config = ConfigDict(extra="forbid")

    solver: str
    nodes: Annotated[int, Field(ge=1, le=1_024)] = 1
    regions: list[Annotated[str, _LABEL]] = []
    address: str = "auto"
    namespace: str = "walras"
    name: Annotated[str, _NAME] = "ray"
    slots: Annotated[int, Field(ge=1, le=256)] = 1
    group: Annotated[str, _LABEL] = ""

    def deployment(self, keys: Path) -> Deployment:
        """What is to run there. Raises InvalidInput: FIELD_INVALID."""
        return Deployment(self.solver, keys, self.name, self.address, self.namespace, self.slots)


class CanaryConfig(BaseModel):
    """`[canaries]`: orders of the operator's, planted to see which nodes find what can be filled.

    Attributes:
        every: batches between two, on average.
        value: score units that one is worth, more or less.
    """

    model_config = ConfigDict(extra="forbid")

    every: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    value: Annotated[int, Field(ge=1, lt=1 << 62)] = 10_000_000


class LogConfig(BaseModel):
    """`[log]`: the log as files that anybody may read, and who cosigns it; see docs/log.md.

    Attributes:
        folder: where the files go; empty: `log` in the data folder.
        listen: host:port that serves them over HTTP; empty: whoever serves the folder does.
        policy: a tlog-policy file; those of its witnesses that have a URL are asked, and what its
            quorum cosigned is published. Empty: nobody is asked.
        interval_ms: between two checkpoints that are published.
        timeout_ms: all witnesses have this long together.
    """

    model_config = ConfigDict(extra="forbid")

    folder: str = ""
    listen: str = ""
    policy: str = ""
    interval_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 1_000
    timeout_ms: Annotated[int, Field(ge=10, le=600_000)] = 5_000


class Config(BaseSettings):
    """All that an engine is told.

    Attributes:
        domain: the engine's name and its log's origin, such as auction.example.org/main; never
            changes.
        data: folder of the database and the keys.
        listen: host:port of the gRPC server.
        interval_ms: a batch gathers intents at least this long.
        solve_ms: solvers have this long to bid.
        open_ms: and this long to open the bids that they committed to.
        operators: public keys that may deposit and put venues; empty: a key made in the data
            folder.
        engine_key, operator_key: key files; made in the data folder where they are not given.
        rules: of the auction.
        solvers: the nodes to ask.
        fleet: how work is spread over them; `probers` as hexadecimal keys.
        pace: moves under stress; None: nothing moves.
        scale: nodes started and stopped as the load needs; None: none.
        ray: nodes on a Ray cluster; None: none.
        canaries: planted by the operator; None: none.
        log: its files and witnesses; None: it is read over gRPC alone.
        metrics: host:port of a page for Prometheus; empty: none.
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
    open_ms: Annotated[int, Field(ge=10, le=60_000)] = 2_000
    operators: Annotated[list[Annotated[str, _HEX_KEY]], Field(max_length=MAX_OPERATORS)] = []
    engine_key: Path | None = None
    operator_key: Path | None = None
    rules: RulesConfig = RulesConfig()
    solvers: list[SolverConfig] = [
        SolverConfig(name="baseline", plugin="baseline"),
        SolverConfig(name="optimizer", plugin="optimizer"),
    ]
    fleet: FleetRules = FleetRules()
    pace: PaceConfig | None = None
    scale: ScaleConfig | None = None
    ray: RayConfig | None = None
    canaries: CanaryConfig | None = None
    log: LogConfig | None = None
    metrics: str = ""
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("fleet", mode="before")
    @classmethod
    def _fleet_rules(cls, value: object) -> object:
        return value if isinstance(value, FleetRules) else read_rules(value)

    @model_validator(mode="after")
    def _distinct_names(self) -> "Config":
        names = [solver.name for solver in self.solvers]
        if len(set(names)) != len(names):
            raise ValueError("two solvers have the same name")
        plugins = {solver.name for solver in self.solvers if solver.plugin}
        if self.ray is not None:
            plugins.add(self.ray.name)
            if any(name.startswith(f"{self.ray.name}-") for name in names):
                raise ValueError("ray.name: a solver's name begins with it")
        if self.scale is not None and self.scale.solver not in plugins:
            raise ValueError(
                f"scale.solver: {self.scale.solver} is no plugin among the solvers, nor ray.name"
            )
        if self.scale is not None and self.scale.solver in plugins:
            longest = f"{self.scale.solver}-{self.scale.max_nodes}"
            if len(longest) > MAX_NAME_BYTES:
                raise ValueError(f"scale.solver: {longest} is too long a name for a node")
        if self.canaries is not None and (self.operators or self.operator_key):
            raise ValueError("canaries: need the operator key of the data folder")
        try:
            self.pace_rules()
        except InvalidInput:
            raise ValueError(
                "pace: needs min_interval_ms ≤ interval_ms ≤ max_interval_ms, rules.collar_bps ≤"
                " max_collar_bps and min_fan_out ≤ fleet.fan_out"
            ) from None
        try:
            if self.scale is not None:
                self.scale.rules(1)
            if self.ray is not None:
                self.ray.deployment(self.data)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return self

    def pace_rules(self) -> PaceRules | None:
        """How the pace moves; None where it does not."""
        if self.pace is None:
            return None
        calm = Pace(self.interval_ms, self.rules.collar_bps, self.fleet.fan_out)
        return PaceRules(calm=calm, **self.pace.model_dump())

    def nodes(self) -> list[NodeSpec]:
        """The nodes to ask."""
        return [
            NodeSpec(
                name=solver.name,
                plugin=solver.plugin,
                address=solver.address,
                public_key=bytes.fromhex(solver.public_key or ""),
                group=solver.group,
                region=solver.region,
                slots=solver.slots,
                key_file=self.data / "solvers" / f"{solver.name}.key" if solver.plugin else None,
            )
            for solver in self.solvers
        ]


def _said(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such key"
    return message.removeprefix("Value error, ")  # ours, as pydantic shows it


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
            f"{_said(item['type'], item['msg'])}"
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
