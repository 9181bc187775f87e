"""What a tool and an output validator may know about the call they serve."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_origin, get_type_hints

Deps = TypeVar("Deps")


# No slots: a frozen dataclass with them cannot be made as `RunContext[Deps](…)` on Python 3.11.
@dataclass(frozen=True, kw_only=True)
class RunContext(Generic[Deps]):
    """The circumstances of one tool call or one judgement.

    Attributes:
        deps: What the job's `deps` factory returned; one value per run.
        job: Address of the job.
        key: Key of the row.
        row: The row as read, before `row_type`.
        turn: Number of the turn, from 1.
        call_id: Stable across restarts: use it to make a side effect idempotent. Empty in a
            validator.
        attempt: Number of the attempt at this call, from 1.
        retry: Turns in a row, up to this one, in which the model was told to call this tool in
            another way; in an output validator and an output function, how often the model was
            asked for its output again. It is that of the last turn once it equals `output_retries`.
    """

    deps: Deps
    job: str
    key: str
    row: dict[str, Any]
    turn: int = 1
    call_id: str = ""
    attempt: int = 1
    retry: int = 0


def takes_context(function: Callable[..., Any]) -> bool:
    """Tell whether a function's first parameter is annotated as a `RunContext`."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return False  # nobody can tell, as with `int`
    if first is None:
        return False
    try:
        hint = get_type_hints(function).get(first.name)
    except Exception:  # noqa: BLE001 - an annotation as text is users' code
        # Another annotation cannot be resolved yet; the first one may still be readable.
        hint = first.annotation
    if isinstance(hint, str):
        return hint.split("[")[0].rsplit(".")[-1] == RunContext.__name__
    return hint is RunContext or get_origin(hint) is RunContext
