"""What can be configured, and where it is read from. Nothing is written, and no secret is kept.

A value given as a flag wins over `BATCHSPEC_<KEY>` in the environment (`__` between the parts of a
nested key), then `batchspec.toml`, then `[tool.batchspec]` in pyproject.toml, then the default.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from batchspec.config.providers import (
    NAME_PATTERN,
    OPENAI,
    OPENAI_RESPONSES,
    STRICT,
    TYPES,
    Limits,
    ModelPrices,
    OpenAISettings,
    ProviderSettings,
    as_table,
    type_of,
    with_built_in,
)
from batchspec.errors import ConfigurationError
from batchspec.spec.suggest import did_you_mean

ENV_PREFIX = "BATCHSPEC_"
SIMULATION = "simulation"
"""The environment of `--simulate`; no key is ever read in it."""
_ENVIRONMENT = "the environment"


class SimulatorSettings(BaseModel):
    """What `--simulate` answers, and how long it takes."""

    model_config = STRICT

    answers: str | dict[str, str] | None = None
    """`path/to/file.py:function` or `path/to/file.jsonl`, or a table of them, each by the job
    (`tickets.triage`) or model (`gpt-*`) it is for; without any they are made up."""
    pace: float = Field(default=1.0, ge=0)
    """Factor on the time batches take."""
    speed: float = Field(default=1.0, gt=0)
    """Seconds that pass for the server in one of ours, so that its hours can be short."""
    scenario: str | None = None
    """What goes wrong: the name of a scenario, or a TOML or JSON file."""
    seed: int = 0
    """Of what a scenario draws."""

    @field_validator("answers", mode="before")
    @classmethod
    def _one_complaint_about_two_types(cls, value: Any) -> Any:
        table = as_table(value)
        texts = [value] if table is None else table.values()
        if value is not None and not all(isinstance(text, str) for text in texts):
            raise ValueError("write a reference, or a table from jobs or models to references")
        return value


class WatchSettings(BaseModel):
    """How `batchspec watch` keeps house and gives over."""

    model_config = STRICT

    gc_every: float = Field(default=86_400.0, ge=0)
    """Seconds between two rounds of `state gc`; 0: it is left to you."""
    keep: float = Field(default=604_800.0, ge=0)
    """Files of batches that ended less than so many seconds ago are left."""
    load_timeout: float = Field(default=300.0, gt=0)
    """Seconds in which specs are to be loaded; those that take longer do not load."""
    drain_timeout: float = Field(default=600.0, ge=0)
    """Seconds that running calls of tools and hooks have to end where specs changed; then they are
    cut short, as by a crash. 0: as long as they take."""


class Settings(BaseModel):
    """The configuration of one project; `load_settings` makes it."""

    model_config = STRICT

    env: str = Field(default="default", pattern=NAME_PATTERN)
    """The environment: which state is used."""
    specs: str = "specs"
    """Folder of the spec modules, relative to the project."""
    state: str = "state"
    """Folder of the state files, relative to the project."""
    poll_interval: float = Field(default=15.0, gt=0)
    """Seconds before a young batch is looked at again; older ones wait longer."""
    max_poll_interval: float = Field(default=600.0, gt=0)
    """The longest of these waits, in seconds."""
    adopt_grace: float = Field(default=60.0, ge=0)
    """Seconds to look for a batch whose create got no answer before it is paid for again."""
    lock_timeout: float = Field(default=0.0, ge=0)
    """Seconds to wait for a state that another process is writing to."""
    retries: int = Field(default=3, ge=0)
    """How often a row is sent again when the provider lost it or failed in passing."""
    tool_concurrency: int = Field(default=16, ge=1)
    """Tool calls that run at the same time."""
    assumed_output_tokens: int = Field(default=256, ge=1)
    """Length of a reply, for the estimate of a job that sets no `max_tokens`."""
    longest_output_tokens: int = Field(default=4096, ge=1)
    """The same, for what a plan costs at most."""
    max_cost: Decimal | None = Field(default=None, ge=0)
    """US dollars one apply may cost at most; more is refused before anything is sent."""
    health_timeout: float = Field(default=60.0, gt=0)
    """Seconds without a sign of life after which `/livez` says that `watch` hangs."""
    providers: dict[str, ProviderSettings] = Field(
        default_factory=dict[str, ProviderSettings], validate_default=True
    )
    simulator: SimulatorSettings = SimulatorSettings()
    watch: WatchSettings = WatchSettings()

    @field_validator("providers")
    @classmethod
    def _some_are_always_there(
        cls, value: dict[str, ProviderSettings]
    ) -> dict[str, ProviderSettings]:
        for name in value:
            if not re.match(NAME_PATTERN, name):
                raise ValueError(f"{name!r} is no name; a provider is named like {'my-laptop'!r}")
        return with_built_in(value)

    def provider(self, name: str) -> ProviderSettings:
        """Return the settings of a provider.

        Raises:
            ConfigurationError: No provider has this name.
        """
        try:
            return self.providers[name]
        except KeyError:
            raise ConfigurationError(
                f"There is no provider {name!r}. {did_you_mean(name, self.providers)} "
                f"A new one is declared as [providers.{name}] in batchspec.toml."
            ) from None

    def api_key(self, provider: str) -> SecretStr | None:
        """Read a provider's key from the environment, now; None where it takes none.

        Raises:
            ConfigurationError: The variable is not set, or the environment is that of `--simulate`,
                where a paid answer would be mistaken for a simulated one.
        """
        if self.env == SIMULATION:
            raise ConfigurationError(
                f"Environment {SIMULATION!r} is kept for simulated answers and never calls "
                f"provider {provider!r}. Use `--simulate` for it, or choose another environment."
            )
        variable = self.provider(provider).api_key_env
        if variable is None:
            return None
        value = os.environ.get(variable, "").strip()
        if not value:
            raise ConfigurationError(
                f"No key for provider {provider!r}: set {variable} in the environment, "
                "or run without any key and for free with `--simulate`."
            )
        return SecretStr(value)

    def base_url(self, provider: str) -> str | None:
        """Return where a provider is, or None for the SDK's own default.

        `OPENAI_BASE_URL` counts for the built-in providers when the configuration says nothing.
        """
        configured = self.provider(provider).base_url
        if configured is None and provider in {OPENAI, OPENAI_RESPONSES}:
            return os.environ.get("OPENAI_BASE_URL") or None
        return configured


class _Variables(Settings, BaseSettings):
    """The same keys, as pydantic-settings looks for them in the environment."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__")


@dataclass(frozen=True, slots=True)
class _Origin:
    """Values of one source, kept apart so that an error can say where a value stands."""

    name: str
    values: Mapping[str, Any]


def load_settings(root: str | Path = ".", **flags: Any) -> Settings:
    """Read the configuration of the project in a folder.

    Args:
        root: The project's folder.
        flags: Values that win over every other source; None means not given.

    Raises:
        ConfigurationError: A file cannot be read, or keys or values are not right; every problem
            is told, with the file or variable it stands in.
    """
    folder = Path(root)
    given = {key: value for key, value in flags.items() if value is not None}
    table = _read_toml(folder / "pyproject.toml").get("tool", {}).get("batchspec", {})
    origins = (
        _Origin("the command line", given),
        _Origin(_ENVIRONMENT, _environment()),
        _Origin(str(folder / "batchspec.toml"), _read_toml(folder / "batchspec.toml")),
        _Origin(f"{folder / 'pyproject.toml'} [tool.batchspec]", table),
    )
    merged: dict[str, Any] = {}
    for origin in reversed(origins):
        merged = _merge(merged, origin.values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise ConfigurationError(_told(error.errors(include_url=False), origins)) from None


def _merge(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below, above = as_table(merged.get(key)), as_table(value)
        merged[key] = value if below is None or above is None else _merge(below, above)
    return merged


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def _environment() -> dict[str, Any]:
    """Return the values of all `BATCHSPEC_…` variables, an unknown one included.

    pydantic-settings passes unknown variables over in silence; a mistyped budget must not.
    """
    try:
        values = EnvSettingsSource(_Variables)()
    except SettingsError as error:
        raise ConfigurationError(f"The environment is not right: {error}.") from error
    for variable in os.environ:
        key = variable.removeprefix(ENV_PREFIX).split("__")[0].lower()
        if variable.startswith(ENV_PREFIX) and key not in Settings.model_fields:
            values[key] = os.environ[variable]
    return values


def _told(errors: Iterable[ErrorDetails], origins: Iterable[_Origin]) -> str:
    known = tuple(origins)
    problems = [f"  {_problem(error, known)}" for error in errors]
    return "\n".join(("The configuration is not right.", *problems))


def _problem(error: ErrorDetails, origins: Iterable[_Origin]) -> str:
    path, kind = _told_path(error["loc"])
    # A missing key stands nowhere; its table does.
    found = path[:-1] if error["type"] == "missing" else path
    place = next((o.name for o in origins if _holds(o.values, found)), "the configuration")
    name = ".".join(str(part) for part in path)
    if place == _ENVIRONMENT:
        name = ENV_PREFIX + "__".join(str(part) for part in path).upper()
    if error["type"] == "extra_forbidden":
        known = _known_keys(path[:-1], kind)
        return f"{place}: there is no key {name!r}. {did_you_mean(str(path[-1]), known)}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "union_tag_invalid":
        name, message = f"{name}.type", f"{type_of(error['input'])!r} is none of openai, live"
    return f"{place}: {name}: {message}."


def _told_path(path: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], type[BaseModel]]:
    """Return the path of a value as it is written, and which settings a provider on it has."""
    if path[0] == "providers" and len(path) > 2 and (kind := TYPES.get(str(path[2]))):
        return (*path[:2], *path[3:]), kind
    return path, OpenAISettings


def _holds(values: object, path: tuple[int | str, ...]) -> bool:
    if not path:
        return True
    table = as_table(values)
    return table is not None and path[0] in table and _holds(table[str(path[0])], path[1:])


def _known_keys(path: tuple[int | str, ...], kind: type[BaseModel]) -> Iterable[str]:
    """Return the keys of the table at a path; providers and prices are tables by name.

    Args:
        path: Of the table.
        kind: The settings of the provider in whose table it stands.
    """
    match path:
        case ():
            return Settings.model_fields
        case ("simulator",):
            return SimulatorSettings.model_fields
        case ("watch",):
            return WatchSettings.model_fields
        case ("providers", _):
            return kind.model_fields
        case ("providers", _, "limits"):
            return Limits.model_fields
        case _:
            return ModelPrices.model_fields
