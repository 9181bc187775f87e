"""Signs of life of an engine, and of calls of tools that do not let it go on."""

from collections.abc import Callable

import anyio

BEAT = 1.0
"""Seconds between two signs of life, and between two looks at conditions to be recorded."""


async def beats(
    beat: Callable[[], None],
    ends: Callable[[], bool],
    stuck: Callable[[], None],
    patience: float,
) -> None:
    """Give signs of life until it is cancelled.

    Args:
        beat: Called every second.
        ends: Tells whether a loop was told to end, and runs.
        stuck: Called, again and again, when it has been so for too long.
        patience: Seconds; 0: for ever.
    """
    waits = 0.0
    while True:
        beat()
        waits = waits + BEAT if ends() else 0.0
        if patience and waits > patience:
            stuck()
        await anyio.sleep(BEAT)
