"""System prompts and instructions of an agent, as instructions of a job."""

from collections.abc import Callable
from typing import Any

from pydantic_ai.messages import ModelRequest, SystemPromptPart
from pydantic_ai.models.openai import OpenAIResponsesModel

from batchspec.messages import Message
from batchspec.spec.agents import private
from batchspec.spec.agents.context import Deps, Missing
from batchspec.spec.agents.probe import AnyAgent, OpenAIModel, first

Instructions = str | Callable[[Any], list[Message]] | None


def instructions_of(
    agent: AnyAgent, model: OpenAIModel, deps: Deps, prompt: Callable[[Any], str | None]
) -> Instructions:
    """Return a job's instructions: a text where it is always the same, else a function of a row."""
    fixed = _fixed(agent, model)
    if fixed is None:
        return RowPrompts(agent, model, deps, prompt)
    if len(fixed) > 1:
        return FixedPrompts(fixed)
    return escaped(fixed[0]) if fixed else None


def escaped(text: str) -> str:
    """Return a text as a template that says just this."""
    return text.replace("{", "{{").replace("}", "}}")


class FixedPrompts:
    """System messages that are the same for each row."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def __call__(self, _row: Any) -> list[Message]:
        """Return them."""
        return [{"role": "system", "content": text} for text in self._texts]


class RowPrompts:
    """System messages made by the agent's functions, for one row after the other."""

    def __init__(
        self,
        agent: AnyAgent,
        model: OpenAIModel,
        deps: Deps,
        prompt: Callable[[Any], str | None],
    ) -> None:
        self._agent, self._model, self._deps, self._prompt = agent, model, deps, prompt
        self._once: list[Any] = []

    def __call__(self, row: Any) -> list[Message]:
        """Run the agent up to its first request and return how that begins."""
        deps = self._deps.of(row, None) if self._deps.by_row else self._shared()
        seen = first(self._agent, self._model, self._prompt(row), deps=deps)
        texts = _texts(seen.last, self._model)
        return [{"role": "system", "content": text} for text in texts]

    def _shared(self) -> Any:
        # A factory without parameters is called once for all rows, as it is for tools.
        if not self._once:
            self._once.append(self._deps.once())
        return self._once[0]


def _fixed(agent: AnyAgent, model: OpenAIModel) -> list[str] | None:
    """Return the texts where no function of the agent has a part in them."""
    if private.has_system_prompt_functions(agent):
        return None
    unknown = Missing("deps", "instructions are rendered for each row")
    try:
        seen = first(agent, model, "-", deps=unknown)
    except Exception:  # noqa: BLE001 - what wants to see a row will be asked again with one
        return None
    parts = seen.request.model_request_parameters.instruction_parts or ()
    return None if any(part.dynamic for part in parts) else _texts(seen.last, model)


def _texts(request: ModelRequest, model: OpenAIModel) -> list[str]:
    system = [part.content for part in request.parts if isinstance(part, SystemPromptPart)]
    own = [request.instructions] if request.instructions else []
    # Responses have a field of their own for instructions, which comes first; chats put them last.
    return [*own, *system] if isinstance(model, OpenAIResponsesModel) else [*system, *own]
