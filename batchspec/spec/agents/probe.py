"""What an agent would send: its first request, kept by a client that sends nothing."""

import json
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import httpx2
from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import (
    Model,
    ModelRequestContext,
    ModelRequestParameters,
    override_allow_model_requests,
)
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tool_manager import ToolManager

from batchspec.messages import JsonObject

AnyAgent = Agent[Any, Any]
OpenAIModel = OpenAIChatModel | OpenAIResponsesModel


class _Enough(Exception):  # noqa: N818 - ends a run that was only to be looked at
    """The first request is known; the run need not go on."""


@dataclass(slots=True)
class Seen:
    """The first request of a run, in each form it takes.

    Attributes:
        context: The run's context before the request.
        request: The messages and parameters as the agent made them.
        manager: Its tools, ready to be called.
        body: What would be sent, where the run went on to that.
        sent: The parameters as the model's profile makes them, which are those of the body.
        warnings: What Pydantic AI said meanwhile.
    """

    context: RunContext[Any]
    request: ModelRequestContext
    manager: ToolManager[Any]
    body: JsonObject = field(default_factory=dict[str, Any])
    sent: ModelRequestParameters = field(default_factory=ModelRequestParameters)
    warnings: list[str] = field(default_factory=list[str])

    @property
    def last(self) -> ModelRequest:
        """The message that the run begins with."""
        return cast("ModelRequest", self.request.messages[-1])


class _Probe(AbstractCapability[Any]):
    """Keeps what the agent made of its first request."""

    def __init__(self, *, stop: bool) -> None:
        self.seen: Seen | None = None
        self._stop = stop

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Keep it; go on where the body is wanted too."""
        assert ctx.tool_manager is not None  # noqa: S101 - a run has one
        self.seen = Seen(ctx, request_context, ctx.tool_manager)
        if self._stop:
            raise _Enough
        return request_context


def silent(model: OpenAIModel, keep: Callable[[bytes], object] = len) -> OpenAIModel:
    """Return a model like another one, whose requests end here.

    Args:
        model: The one to be like: name, profile and settings.
        keep: Gets the body of each request.
    """
    return made(
        isinstance(model, OpenAIResponsesModel),
        model.model_name,
        model.base_url,
        keep,
        profile=model.profile,
        settings=model.settings,
    )


def made(
    responses: bool,  # noqa: FBT001 - one of two kinds
    name: str,
    base_url: str,
    keep: Callable[[bytes], object] = len,
    **options: Any,
) -> OpenAIModel:
    """Return a model whose requests end here."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        keep(request.content)
        return httpx2.Response(400, json={"error": {"message": "nothing is sent"}})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    provider = OpenAIProvider(base_url=base_url, api_key="none", http_client=client)
    kind = OpenAIResponsesModel if responses else OpenAIChatModel
    return kind(name, provider=provider, **options)


def look(agent: AnyAgent, model: OpenAIModel, *, deps: Any) -> Seen:
    """Return the agent's first request but for its prompts; no prompt function is called.

    Raises:
        Exception: Whatever the agent raises when it prepares its tools.
    """
    # With a history, system prompts are taken from it.
    history: list[ModelMessage] = [
        ModelRequest(parts=[SystemPromptPart("-"), UserPromptPart("-")]),
        ModelResponse(parts=[TextPart("-")]),
    ]
    bodies: list[bytes] = []
    probe = _Probe(stop=False)
    with ExitStack() as stack, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        stack.enter_context(
            agent.override(model=silent(model, bodies.append), instructions=[], metadata={})
        )
        ended = _run(agent, "-", deps, probe, message_history=history)
        seen = probe.seen
        if seen is None or not bodies:
            raise ended
        request = seen.request
        _, seen.sent = model.prepare_request(
            request.model_settings, request.model_request_parameters
        )
    seen.body = json.loads(bodies[0])
    seen.warnings = [str(warning.message) for warning in said]
    return seen


def first(agent: AnyAgent, model: Model, prompt: str | None, *, deps: Any) -> Seen:
    """Return what a run with this prompt begins with, the agent's prompt functions included.

    Raises:
        Exception: Whatever the agent's functions raise.
    """
    probe = _Probe(stop=True)
    with agent.override(model=model, metadata={}):
        ended = _run(agent, prompt, deps, probe)
    if probe.seen is None:
        raise ended
    return probe.seen


def _run(
    agent: AnyAgent, prompt: str | None, deps: Any, probe: _Probe, **options: Any
) -> Exception:
    """Run an agent up to its first request; return what ended it."""
    try:
        with override_allow_model_requests(allow_model_requests=True):
            wait_for(
                agent.run(prompt, deps=deps, capabilities=[probe], infer_name=False, **options)
            )
    except Exception as error:  # noqa: BLE001 - one of them is how a run ends here
        return error
    return RuntimeError("the run ended without a request")


def wait_for(work: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns, from code that may itself be called by an event loop."""

    async def wait() -> Any:
        return await work

    context = copy_context()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: context.run(lambda: anyio.run(wait))).result()
