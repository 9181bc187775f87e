"""How a conversation that ended goes on when it is sent again: answered turns are paid."""

from typing import Final, NamedTuple

from batchspec.messages import Outcome

FIRST: Final = 0
"""From its first turn."""
TURN: Final = 1
"""With the request of its turn, which was not answered."""
TOOLS: Final = 2
"""With the calls of its last reply: those that have an answer keep it, the others run."""
LOST: Final = 3
"""The same; but a call of a tool marked `once` began, so that it ends again as it did."""
REPLY: Final = 4
"""From its last reply, which is judged again: a bound that ended it is higher now."""
BOUND: Final = 5
"""The same, once a bound is higher than it was when the reply was judged last."""


class Limits(NamedTuple):
    """What bounds the turns of an item: replies, and how often it may be asked again."""

    turns: int
    retries: int


def goes_on(
    resumable: int, outcome: Outcome | None, *, turn: int, asked: int, limits: Limits
) -> bool:
    """Tell whether a conversation that ended would go on, and not begin with its first turn.

    Args:
        resumable: How, as it was when it ended or was judged last.
        outcome: How it ended.
        turn: The turn of its last request, from 1.
        asked: How often the model was asked again because of its output.
        limits: Of its job now.
    """
    if resumable not in {REPLY, BOUND}:
        return resumable != FIRST
    return turn < limits.turns and (outcome == "exhausted" or asked < limits.retries)
