"""The same answers of a model, told to an agent of Pydantic AI and to the job made of it."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
from pydantic_ai import Agent
from pydantic_ai.exceptions import AgentRunError
from worlds import World

from batchspec import Job, rows
from batchspec.simulator import AppTransport

from .corpus import Case, model_of

PROMPT = "Where is it?"


@dataclass
class Ended:
    """How a run ended, and what the model was asked on the way, turn by turn."""

    outcome: str
    output: Any
    asked: list[dict[str, Any]] = field(default_factory=list)

    def told(self) -> list[list[Any]]:
        """Return what each further turn tells the model: answers to its calls, and feedback."""
        return [_news(body) for body in self.asked[1:]]


def call(name: str, /, **arguments: Any) -> dict[str, Any]:
    """Return a message of the model that calls one tool."""
    return calls((name, json.dumps(arguments)))


def calls(*wanted: tuple[str, str]) -> dict[str, Any]:
    """Return a message of the model that calls tools, with arguments as text."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"call_{number}", "type": "function", "function": {"name": n, "arguments": a}}
            for number, (n, a) in enumerate(wanted, 1)
        ],
    }


def both(
    case: Case, endpoint: str, folder: Path, answers: Sequence[Any], **given: Any
) -> tuple[Ended, Ended]:
    """Return how a run of the agent and a row of the job end with the same answers."""
    return _run(case, endpoint, folder / "theirs", answers), _apply(
        case, endpoint, folder / "ours", answers, given
    )


def _world(folder: Path, asked: list[Any], answers: Sequence[Any], **options: Any) -> World:
    def answer(body: dict[str, Any]) -> Any:
        asked.append(body)
        return answers[min(len(asked), len(answers)) - 1]

    folder.mkdir()
    return World(folder, model=answer, **options)


def _run(case: Case, endpoint: str, folder: Path, answers: Sequence[Any]) -> Ended:
    asked: list[dict[str, Any]] = []
    with _world(folder, asked, answers) as world:
        client = httpx2.AsyncClient(transport=AppTransport(world.app))
        agent: Agent[Any, Any] = case.make(model_of(endpoint, client, "gpt-5-mini"))
        try:
            output = anyio.run(partial(agent.run, PROMPT, deps=case.deps)).output
        except AgentRunError as error:
            return Ended("failed", str(error), asked)
        return Ended("succeeded", output, asked)


def _apply(
    case: Case, endpoint: str, folder: Path, answers: Sequence[Any], given: dict[str, Any]
) -> Ended:
    job = made(case, endpoint, **given)
    asked: list[dict[str, Any]] = []
    with _world(folder, asked, answers, jobs={"m.j": job}) as world:
        world.apply()
        item = world.items()["1"]
        said = item.output if item.outcome == "succeeded" else item.reason
        return Ended(item.outcome or "", said, asked)


def made(case: Case, endpoint: str, **given: Any) -> Job:
    """Return the job that is made of an agent, with one row."""
    agent = case.make(model_of(endpoint, name="gpt-5-mini"))
    return Job.from_agent(
        agent,
        model=f"{endpoint}:gpt-5-mini",
        rows=rows.inline([{"id": "1", "prompt": PROMPT}]),
        **{"ignore": ["end_strategy", "model_settings"], **case.job, **given},
    )


def _news(body: dict[str, Any]) -> list[Any]:
    """Return what follows the model's last message in a request."""
    messages = body.get("messages") or body["input"]
    last = max((at for at, m in enumerate(messages) if _is_models(m)), default=-1)
    return [_plain(message) for message in messages[last + 1 :]]


def _is_models(message: dict[str, Any]) -> bool:
    return message.get("role") == "assistant" or message.get("type") in MODELS


MODELS = {"function_call", "reasoning"}


def _plain(message: dict[str, Any]) -> Any:
    content: Any = message.get("content", message.get("output"))
    with suppress(TypeError, ValueError):
        content = json.loads(content)
    return message.get("role", message.get("type")), content
