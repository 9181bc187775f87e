"""`Job.from_agent`: the arguments of a job, out of an agent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pydantic_ai import Agent
from pydantic_ai.agent import WrapperAgent

from batchspec.errors import Source
from batchspec.spec.agents import private
from batchspec.spec.agents.calls import validator
from batchspec.spec.agents.context import Contexts, Deps, Missing
from batchspec.spec.agents.found import Findings, listed
from batchspec.spec.agents.model import the_model
from batchspec.spec.agents.outputs import Outputs
from batchspec.spec.agents.parts import judge
from batchspec.spec.agents.probe import AnyAgent, OpenAIModel, Seen, look, silent
from batchspec.spec.agents.prompts import RowPrompts, instructions_of
from batchspec.spec.agents.settings import settings_of
from batchspec.spec.agents.tools import tools_of
from batchspec.spec.prompt import Template

PROMPT = "{prompt}"
"""Where no prompt is given: the field of that name."""
FROM_AGENT = ("instructions", "output", "output_validators", "output_retries", "tools", "settings")
"""Arguments of a `Job` that the agent fills; a given one takes its place."""


def arguments(
    agent: Any, given: Mapping[str, Any], ignore: Sequence[str], source: Source
) -> tuple[dict[str, Any], Findings]:
    """Return the arguments of the job an agent stands for, and what was found on the way.

    Args:
        agent: Of Pydantic AI.
        given: Arguments of the job that the user wrote; they win.
        ignore: Names of what the user accepts to lose.
        source: Where the job is made.
    """
    found = Findings(source, ignore)
    known = _bare(agent)
    if known is None:
        found.broken(f"`Job.from_agent` takes an Agent of Pydantic AI; got {agent!r:.80}.")
        return dict(given), found
    try:
        judge(known, found)
        name, model = the_model(known, given.get("model"), found)
        if found.errors:
            return dict(given), found
        return _made(known, name, model, given, found), found
    except private.Unknown as error:
        found.broken(str(error))
        return dict(given), found


def _bare(given: object) -> AnyAgent | None:
    found: Any = given
    while isinstance(given, WrapperAgent):
        given = found = cast("Any", given).wrapped
    return found if isinstance(given, Agent) else None


def _made(
    agent: AnyAgent, name: str, model: OpenAIModel, given: Mapping[str, Any], found: Findings
) -> dict[str, Any]:
    prompt = given.get("prompt", PROMPT)
    deps = Deps(given.get("deps"))
    seen = _seen(agent, model, deps, found)
    if seen is None:
        return dict(given)
    mute = silent(model)
    text, view = _text_of(prompt, given.get("row_type")), _view_of(given.get("row_type"))
    contexts = Contexts(agent, mute, deps, view, text, private.fixed_metadata(agent))
    retries, checks = private.output_retries(agent), private.validators(agent)
    settings, sent = settings_of(seen, found), seen.sent
    if sent.native_tools:
        kinds = listed(type(tool).__name__ for tool in sent.native_tools)
        found.refuse("tools", f"The provider would run {kinds}, which a job does not ask for.")
    if sent.function_tools and sent.output_tools:
        _ends(agent, found)
    filled: dict[str, Any] = {
        "model": name,
        "prompt": prompt,
        "instructions": instructions_of(agent, mute, deps, text),
        "output": Outputs(contexts, sent, retries, found).of(agent.output_type),
        "output_validators": [validator(check, contexts, retries) for check in checks],
        "output_retries": retries,
        "tools": tools_of(seen.manager, contexts, {t.name: t for t in sent.function_tools}),
        "settings": settings,
    }
    if agent.validation_context is not None and agent.output_type is not str:
        found.refuse(
            "validation_context", "Its `validation_context` reaches tools, but not the output type."
        )
    _wanted(agent, deps, found)
    if deps.yields and isinstance(filled["instructions"], RowPrompts):
        found.broken(
            "Its instructions are made by functions, also when a plan is made, and `deps` yields:"
            " write a factory that returns the deps, or one of a row."
        )
    made = filled | dict(given)
    if deps.by_row:
        # Those of a row are made for each call; batchspec itself knows those of a run only.
        made["deps"] = None
    return made


def _seen(agent: AnyAgent, model: OpenAIModel, deps: Deps, found: Findings) -> Seen | None:
    unknown: Any = Missing("deps", "tools are the same for all rows, and described before any")
    if deps.factory is not None and not deps.by_row and _describes_with_deps(agent, found):
        unknown = deps.once()
    try:
        return look(agent, model, deps=unknown)
    except Exception as error:  # noqa: BLE001 - whatever the agent's own functions raise
        found.broken(f"It cannot be prepared: {type(error).__name__}: {error}".rstrip(".") + ".")
        return None


def _describes_with_deps(agent: AnyAgent, found: Findings) -> bool:
    """Tell whether functions that may want `ctx.deps` have a part in settings and tools."""
    return (
        found.accepts("prepare")
        or found.accepts("model_settings")
        or callable(agent.validation_context)
    )


def _wanted(agent: AnyAgent, deps: Deps, found: Findings) -> None:
    kind: Any = agent.deps_type
    if deps.factory is None and kind not in (object, type(None), Any):
        found.refuse(
            "deps",
            f"Its functions want `ctx.deps` of type {getattr(kind, '__name__', kind)}: give"
            " `deps=`, a function without parameters, or of a row.",
        )


def _ends(agent: AnyAgent, found: Findings) -> None:
    if agent.end_strategy != "early":
        found.note(
            "end_strategy",
            f"Its `end_strategy` is {agent.end_strategy!r}: calls of tools beside a valid answer"
            " would still run. In a job they do not, as with 'early'.",
        )


def _view_of(row_type: Any) -> Callable[[dict[str, Any]], Any]:
    return (lambda row: row) if row_type is None else row_type.model_validate


def _text_of(prompt: Any, row_type: Any) -> Callable[[Any], str | None]:
    """Return the function from a row to the text of its prompt; None where that is no text."""
    if isinstance(prompt, str):
        return Template(prompt).compile(row_type)

    def text(row: Any) -> str | None:
        made = prompt(row)
        return made if isinstance(made, str) else None

    return text
