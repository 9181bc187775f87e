"""A kind of option."""

import math
from typing import Any

import click


class Factor(click.FloatRange):
    """A finite number that is not negative."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no factor.", param, ctx)
        return number
