"""Going through what an agent is made of, and telling what a job cannot do.

`FATES` has an entry for each parameter of `Agent(…)`; a test holds it against the signature, so
that a new parameter is looked at before it can be dropped without a word.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.capabilities.abstract import leaf_capabilities
from pydantic_ai.toolsets import (
    AbstractToolset,
    CombinedToolset,
    FilteredToolset,
    FunctionToolset,
    PrefixedToolset,
    PreparedToolset,
    RenamedToolset,
    WrapperToolset,
)

from batchspec.spec.agents import private
from batchspec.spec.agents.found import Findings, listed
from batchspec.spec.agents.probe import AnyAgent

Fate = Literal["carried", "told", "harmless"]

FATES: Mapping[str, Fate] = {
    "model": "carried",
    "output_type": "carried",
    "instructions": "carried",
    "system_prompt": "carried",
    "deps_type": "harmless",  # for type checkers; `deps=` of `from_agent` makes them
    "name": "harmless",  # for logs
    "description": "harmless",  # for traces
    "model_settings": "carried",
    "retries": "carried",
    "validation_context": "told",
    "tools": "carried",
    "toolsets": "told",
    "defer_model_check": "harmless",  # when an agent looks for a key
    "end_strategy": "told",
    "metadata": "harmless",  # of runs and traces; functions get it as `ctx.metadata`
    "tool_timeout": "carried",
    "max_concurrency": "told",
    "capabilities": "told",
}
"""carried: the job does it · told: what it cannot do is told · harmless: changes no answer."""

TOOL_FATES: Mapping[str, Fate] = {
    "function": "carried",
    "takes_ctx": "carried",
    "max_retries": "carried",
    "name": "carried",
    "description": "carried",
    "prepare": "told",
    "args_validator": "carried",
    "docstring_format": "carried",
    "require_parameter_descriptions": "carried",
    "schema_generator": "carried",
    "strict": "carried",
    "sequential": "carried",
    "requires_approval": "told",
    "metadata": "harmless",  # not sent
    "tool_kind": "harmless",  # of parts of a history
    "timeout": "carried",
    "defer_loading": "told",
    "include_return_schema": "carried",
    "function_schema": "carried",
}
"""The same for each parameter of `Tool(…)`."""

CONTRIBUTED = frozenset(
    {"get_instructions", "get_toolset", "get_model_settings", "get_description"}
    | {"get_ordering", "get_serialization_name", "from_spec", "for_agent", "for_run", "apply"}
    | {"combine", "visit_and_replace", "prefix_tools"}
)
"""Methods of a capability whose work is done once the first request is made, or before."""
_PLAIN = (CombinedToolset, FunctionToolset, PrefixedToolset, RenamedToolset)
_DYNAMIC = (FilteredToolset, PreparedToolset)


def judge(agent: AnyAgent, found: Findings) -> None:
    """Note everything of an agent that cannot be carried over, but for its model and output."""
    _unknown(found)
    _capabilities(agent, found)
    for toolset in agent.toolsets:
        _toolset(toolset, found)
    if callable(agent.model_settings):
        found.refuse(
            "model_settings",
            "Its `model_settings` are a function of the step, and a job has one set: it would be"
            " called once, as the job is made.",
        )
    if agent.event_stream_handler is not None:
        found.refuse("events", "Its `event_stream_handler` is never called: nothing streams.")
    if private.has_listeners(agent):
        found.refuse("events", "Its listeners (`@agent.on_event`) are never called.")
    if agent.instrument:
        found.note("instrument", "Its instrumentation sees none of a batch's requests.")
    if private.is_limited(agent):
        found.note("max_concurrency", "A batch has no runs whose number could be limited.")


def _unknown(found: Findings) -> None:
    known = {"self", *FATES}
    new = [name for name in inspect.signature(Agent.__init__).parameters if name not in known]
    if new:
        found.note(
            "pydantic_ai",
            f"The installed Pydantic AI has agents with {listed(new)}, which this version of"
            " batchspec does not know; if yours uses it, that is not carried over.",
        )


def _capabilities(agent: AnyAgent, found: Findings) -> None:
    automatic = {type(leaf) for leaf in leaf_capabilities(Agent().root_capability)}
    for capability in leaf_capabilities(agent.root_capability):
        name = type(capability).__name__
        if type(capability) in automatic:
            continue
        if isinstance(capability, Instrumentation):
            found.note("instrument", "Its instrumentation sees none of a batch's requests.")
        elif capability.defer_loading:
            found.refuse("capabilities", f"Its capability {name} is loaded while a run goes on.")
        elif methods := list(_hooks(type(capability))):
            found.refuse(
                "capabilities",
                f"Its capability {name} takes part in runs ({listed(methods)}), which a batch"
                " does not have.",
            )


def _hooks(kind: type[AbstractCapability[Any]]) -> Iterator[str]:
    """Yield the methods of a capability that a job would not call."""
    for name, base in vars(AbstractCapability).items():
        is_method = inspect.isroutine(base) or isinstance(base, classmethod)
        if name.startswith("_") or not is_method or name in CONTRIBUTED:
            continue
        own = inspect.getattr_static(kind, name)
        if own is not base:
            yield name


def _toolset(toolset: AbstractToolset[Any], found: Findings) -> None:
    if isinstance(toolset, CombinedToolset):
        for inner in toolset.toolsets:
            _toolset(inner, found)
    elif isinstance(toolset, FunctionToolset):
        for tool in toolset.tools.values():
            _tool(tool, found)
    elif type(toolset) in _PLAIN or type(toolset).__name__ == "CapabilityOwnedToolset":
        assert isinstance(toolset, WrapperToolset)  # noqa: S101 - what is left of `_PLAIN`
        _toolset(toolset.wrapped, found)
    elif type(toolset) in _DYNAMIC:
        found.refuse(
            "prepare",
            f"Its {type(toolset).__name__} chooses tools anew for each step, and a job tells all"
            " rows and turns the same: it would be asked once, as the job is made.",
        )
    else:
        found.refuse(
            "toolsets",
            f"Its toolset {type(toolset).__name__} is not made of functions of yours; its tools"
            " may need a server or a run.",
        )


def _tool(tool: Any, found: Findings) -> None:
    if tool.prepare is not None:
        found.refuse(
            "prepare",
            f"Its tool {tool.name!r} is prepared anew for each step, and a job tells all rows and"
            " turns the same: `prepare` would be called once, as the job is made.",
        )
    if tool.requires_approval:
        found.refuse("tools", f"Its tool {tool.name!r} wants approval, and nobody is there.")
    if tool.defer_loading:
        found.refuse("tools", f"Its tool {tool.name!r} is found by searching, in the run.")
