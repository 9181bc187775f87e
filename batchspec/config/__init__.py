"""The configuration: batchspec.toml, environment variables, and flags, in one value."""

from batchspec.config.providers import (
    NAME_PATTERN,
    CommonSettings,
    Limits,
    LiveSettings,
    ModelPrices,
    OpenAISettings,
    ProviderSettings,
)
from batchspec.config.settings import (
    ENV_PREFIX,
    SIMULATION,
    Settings,
    SimulatorSettings,
    WatchSettings,
    load_settings,
)

__all__ = [
    "ENV_PREFIX",
    "NAME_PATTERN",
    "SIMULATION",
    "CommonSettings",
    "Limits",
    "LiveSettings",
    "ModelPrices",
    "OpenAISettings",
    "ProviderSettings",
    "Settings",
    "SimulatorSettings",
    "WatchSettings",
    "load_settings",
]
