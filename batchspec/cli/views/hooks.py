"""Hooks that could not be told everything."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from batchspec.cli.views.words import clean, duration, timestamp
from batchspec.spec.hooks import HOOKS
from batchspec.state.hooks import HookRecord


def hook_lines(hooks: Sequence[HookRecord], now: float) -> list[Text]:
    """Return what failed of hooks, where a person need know it."""
    told = [one for one in hooks if one.waiting or one.given_up]
    return [Text(), Text("Hooks", "bold"), *(_line(one, now) for one in told)] if told else []


def _line(one: HookRecord, now: float) -> Text:
    counts = [
        f"{n:,} {word}"
        for n, word in ((one.waiting, "to be told again"), (one.given_up, "passed over"))
        if n
    ]
    why = ""
    if one.error is not None:
        why = f"; last {duration(now - (one.error_at or now))} ago: {clean(one.error)}"
    return Text(f"  {HOOKS[one.kind]} of {clean(one.job)}: {', '.join(counts)}{why}")


def hook_document(one: HookRecord) -> dict[str, Any]:
    """Return a hook for programs."""
    return {
        "job": one.job,
        "hook": HOOKS[one.kind],
        "waiting": one.waiting,
        "given_up": one.given_up,
        "error": one.error,
        "error_at": None if one.error_at is None else timestamp(one.error_at),
    }
