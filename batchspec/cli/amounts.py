"""Amounts of money as people type them."""

from decimal import Decimal

import click


class _Dollars(click.ParamType[Decimal]):
    name = "usd"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except ArithmeticError:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is no amount of US dollars.", param, ctx)
        return amount


DOLLARS = _Dollars()
"""The type of an option that takes US dollars."""
