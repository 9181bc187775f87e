"""`tool_choice`: which tool the model has to call, if any."""

from collections.abc import Collection, Iterator
from typing import Any

from batchspec.spec.shapes import is_list, is_mapping
from batchspec.spec.suggest import did_you_mean

_FORM = 'write {"type": "function", "function": {"name": …}}'


def choice_problems(choice: Any, names: Collection[str]) -> Iterator[str]:
    """Yield what a provider would refuse of a job's `tool_choice`, a sentence each.

    Args:
        choice: In the form of chat completions; None: it is not set.
        names: Of the tools on offer.
    """
    if choice is None or choice == "none":
        return
    if not names:
        yield f"`tool_choice` is {choice!r:.80}, and the job has no tools."
    elif is_mapping(choice):
        for name in _named(choice):
            if not isinstance(name, str):
                yield f"`tool_choice` names no tool: {_FORM}; got {choice!r:.80}."
            elif name not in names:
                yield f"`tool_choice` names {name!r}, which is no tool. {did_you_mean(name, names)}"


def _named(choice: Any) -> Iterator[Any]:
    """Yield the names a choice holds; None for one that is not where it belongs."""
    match choice:
        case {"type": "function", "function": {"name": name}}:
            yield name
        case {"type": "allowed_tools", "allowed_tools": {"tools": tools}} if is_list(tools):
            for one in tools:
                yield from _named(one)
        case {"type": "function" | "allowed_tools"} | {"function": _}:
            yield None
        case _:
            return  # another provider's form, which is none of ours to judge
