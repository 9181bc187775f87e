"""Durations as people type them, and the option that says how long to wait for a locked state."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from batchspec.cli.scope import note
from batchspec.spec.durations import parse_duration

Function = TypeVar("Function", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Seconds, told as `90`, `90s`, `5m`, `1h30m` or `7d`."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return parse_duration(str(value).strip())
        except ValueError:
            self.fail(f"{value!r} is no duration such as 30s, 5m or 1h.", param, ctx)


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
