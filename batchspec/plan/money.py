"""How US dollars are written, in a plan and in what refuses one alike."""

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal

_CENT = Decimal("0.01")


def money(dollars: Decimal, *, at_most: bool = False) -> str:
    """Return US dollars: cents, and below a dollar at least two digits that are not 0.

    Args:
        dollars: The amount.
        at_most: Round up, because a bound that is too low is no bound.
    """
    step = _CENT
    if 0 < dollars < Decimal("0.1"):
        step = min(_CENT, Decimal(1).scaleb(dollars.adjusted() - 1))
    return f"${dollars.quantize(step, ROUND_CEILING if at_most else ROUND_HALF_UP):,f}"
