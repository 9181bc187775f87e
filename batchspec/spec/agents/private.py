"""What of an agent has no public name, in one place.

Seen in Pydantic AI 2.60 to 2.68. A version that names them otherwise is told so in a sentence.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, cast

from batchspec.spec.agents.probe import AnyAgent


class Unknown(RuntimeError):  # noqa: N818 - what the installed version is
    """The installed Pydantic AI is not built as this module knows it."""


def output_retries(agent: AnyAgent) -> int:
    """Return how often an answer is asked for again."""
    return int(_hidden(agent, "_max_output_retries"))


def validators(agent: AnyAgent) -> list[Callable[..., Any]]:
    """Return the output validators, which a decorator adds."""
    found: Sequence[Any] = _hidden(agent, "_output_validators")
    return [validator.function for validator in found]


def fixed_metadata(agent: AnyAgent) -> dict[str, Any] | None:
    """Return the metadata of each run, where no function makes it."""
    given = _hidden(agent, "_metadata")
    return dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else None


def has_system_prompt_functions(agent: AnyAgent) -> bool:
    """Tell whether functions make system prompts; the public way calls them instead."""
    return bool(_hidden(agent, "_system_prompt_functions"))


def is_limited(agent: AnyAgent) -> bool:
    """Tell whether the number of its runs at a time is limited."""
    return _hidden(agent, "_concurrency_limiter") is not None


def has_listeners(agent: AnyAgent) -> bool:
    """Tell whether functions listen to events (`@agent.on_event`)."""
    return bool(_hidden(agent, "_event_hooks").has_on_event)


def _hidden(agent: AnyAgent, name: str) -> Any:
    try:
        return getattr(agent, name)
    except AttributeError as error:
        raise Unknown(
            f"Pydantic AI {version('pydantic-ai-slim')} is not known to this version of batchspec"
            f" (it has no `Agent.{name}`); 2.60 to 2.68 are."
        ) from error
