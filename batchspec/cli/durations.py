"""Durations as people type them, and the option that says how long to wait for a locked state."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from batchspec.cli.scope import note

Function = TypeVar("Function", bound=Callable[..., Any])
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


class Duration(click.ParamType[float]):
    """Seconds, told as `90`, `90s`, `5m`, `1h30m` or `7d`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip()
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            self.fail(f"{value!r} is no duration such as 30s, 5m or 1h.", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


def lock_options(function: Function) -> Function:
    """Add `--lock-timeout` to a command that writes to the state; its scope keeps the value."""
    return click.option(
        "--lock-timeout",
        type=Duration(),
        metavar="DURATION",
        expose_value=False,
        callback=note,
        help="Wait so long for another process that writes to the state, as 30s or 5m.",
    )(function)
