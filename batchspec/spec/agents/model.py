"""The model of an agent: its name in a spec, and one that sends nothing."""

import os
from typing import Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.concurrency import ConcurrencyLimitedModel
from pydantic_ai.models.instrumented import InstrumentedModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from batchspec.spec.agents.found import Findings
from batchspec.spec.agents.probe import AnyAgent, OpenAIModel, made
from batchspec.spec.model import parse_model

_OPENAI = "https://api.openai.com/v1"
_PREFIXES = {"openai", "openai-chat", "openai-responses"}
_GIVE = 'Name one of batchspec.toml, `Job.from_agent(agent, model="provider:model", …)`.'


def the_model(agent: AnyAgent, named: str | None, found: Findings) -> tuple[str, OpenAIModel]:
    """Return `"provider:model"` and a model that prepares requests as the agent's own does.

    Args:
        agent: Whose model it is.
        named: What the user gave as `model=`, instead of the agent's.
        found: Gets what keeps the model from a batch.
    """
    given = _bare(_resolved(agent.model, found if named is None else None), found)
    if named is not None:
        return named, _like(named, given)
    if type(given) is OpenAIResponsesModel:
        _own_endpoint(given, found)
        return f"openai-responses:{given.model_name}", given
    if type(given) is OpenAIChatModel:
        _own_endpoint(given, found)
        return f"openai:{given.model_name}", given
    if given is None:
        if not found.errors:
            found.broken(f"The agent has no model. {_GIVE}")
    else:
        what = f"{type(given).__name__} {given.model_name!r}"
        found.broken(f"Its model, {what}, speaks no batch API that is known here. {_GIVE}")
    return "openai:gpt-5-mini", _made("openai", "gpt-5-mini")


def _resolved(given: Any, found: Findings | None) -> Model | None:
    """Return the model a name stands for, also where the environment has no key for it."""
    if not isinstance(given, str):
        model: Any = given
        return model if isinstance(given, Model) else None
    prefix, _, name = given.partition(":")
    if prefix in _PREFIXES and name:
        return _made("openai" if prefix == "openai-chat" else "openai-responses", name)
    try:
        return infer_model(given)
    except (UserError, ImportError, ValueError) as error:
        if found is not None:
            found.broken(f"Its model {given!r} cannot be made: {error} {_GIVE}")
        return None


def _bare(model: Model | None, found: Findings) -> Model | None:
    """Return a model without wrappers that leave requests as they are."""
    while isinstance(model, InstrumentedModel | ConcurrencyLimitedModel):
        if isinstance(model, ConcurrencyLimitedModel):
            found.note("max_concurrency", "A limit of concurrent requests has no use in a batch.")
        model = model.wrapped
    return model


def _like(named: str, given: Model | None) -> OpenAIModel:
    name = parse_model(named)
    if type(given) in (OpenAIChatModel, OpenAIResponsesModel) and given is not None:
        speaks = "openai-responses" if type(given) is OpenAIResponsesModel else "openai"
        speaks = name.provider if name.provider.startswith("openai") else speaks
        if name.model == given.model_name and speaks in name.provider:
            return _made(speaks, name.model, profile=given.profile, settings=given.settings)
        return _made(speaks, name.model, settings=given.settings)
    return _made(name.provider, name.model)


def _made(provider: str, name: str, **options: Any) -> OpenAIModel:
    return made(provider == "openai-responses", name, _OPENAI, **options)


def _own_endpoint(model: OpenAIModel, found: Findings) -> None:
    known = {_OPENAI, os.environ.get("OPENAI_BASE_URL", _OPENAI).rstrip("/")}
    if model.base_url.rstrip("/") not in known:
        found.broken(
            f"Its model {model.model_name!r} is served at {model.base_url}, which is not the"
            f" built-in provider `openai`. {_GIVE}"
        )
