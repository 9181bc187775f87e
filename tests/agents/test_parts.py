"""Each part of an agent is carried over, refused, or known to change nothing."""

import inspect
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, BinaryImage, DeferredToolRequests, RunContext, Tool, ToolOutput
from pydantic_ai import output as outputs
from pydantic_ai.capabilities import (
    AbstractCapability,
    Hooks,
    Instrumentation,
    NativeTool,
    ProcessHistory,
    Thinking,
)
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModelSettings, OpenAIResponsesModelSettings
from pydantic_ai.models.test import TestModel
from pydantic_ai.native_tools import WebSearchTool
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import (
    ApprovalRequiredToolset,
    ExternalToolset,
    FunctionToolset,
    WrapperToolset,
)

from batchspec import Job, rows
from batchspec.errors import SpecError
from batchspec.spec.agents import parts, settings

from .corpus import City, Shop, add, model_of, stock

GIVEN = "openai-responses:gpt-4.1-mini"
ROWS = rows.inline([{"id": "1", "prompt": "hi"}])
MODEL = model_of("openai")


def parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def test_every_parameter_of_an_agent_has_a_fate() -> None:
    """A new one has to be looked at: can a job do it, and if not, does it matter?"""
    assert not parameters(Agent.__init__) - set(parts.FATES)


def test_every_parameter_of_a_tool_has_a_fate() -> None:
    assert not parameters(Tool.__init__) - set(parts.TOOL_FATES)


def test_every_decorator_of_an_agent_is_known() -> None:
    decorators = {
        name
        for name, member in vars(Agent).items()
        if not name.startswith("_")
        and inspect.isfunction(member)
        and "decorator" in str(member.__doc__).lower()
    }
    assert decorators == {
        "instructions",
        "on_event",
        "output_validator",
        "system_prompt",
        "tool",
    } | {
        "tool_plain",
        "toolset",
    }


@pytest.mark.parametrize(
    ("marker", "carried"),
    [
        (
            outputs.ToolOutput,
            {"type_", "name", "description", "max_retries", "strict", "sequential"},
        ),
        (outputs.NativeOutput, {"outputs", "name", "description", "strict", "template"}),
        (outputs.PromptedOutput, {"outputs", "name", "description", "template"}),
        (outputs.TextOutput, {"output_function"}),
    ],
)
def test_every_parameter_of_an_output_is_known(marker: Any, carried: set[str]) -> None:
    assert parameters(marker.__init__) == carried


def test_every_model_setting_has_a_fate() -> None:
    kinds = (ModelSettings, OpenAIChatModelSettings, OpenAIResponsesModelSettings)
    known = {name for kind in kinds for name in typing.get_type_hints(kind)}
    groups = (settings.CARRIED, settings.LOCAL, settings.REFUSED)
    fates = [name for group in groups for name in group]
    assert not known - set(fates)
    assert len(fates) == len(set(fates)), "in one group each"


def test_every_hook_of_a_capability_is_refused() -> None:
    """What is not known to be done before the first request counts as a hook."""

    class All(AbstractCapability[Any]):
        pass

    for name, member in vars(AbstractCapability).items():
        if not name.startswith("_") and inspect.isfunction(member):
            setattr(All, name, lambda *_: None)
    assert {"before_model_request", "wrap_tool_execute", "prepare_tools", "after_run"} <= set(
        parts._hooks(All)
    )
    assert not set(parts._hooks(All)) & parts.CONTRIBUTED


# --- what is told


def told(agent: Agent[Any, Any], **given: Any) -> str:
    """Return the errors that a job of an agent is refused with."""
    with pytest.raises(SpecError) as refused:
        Job.from_agent(agent, rows=ROWS, **given)
    assert all(found.source is not None for found in refused.value.diagnostics)
    return str(refused.value)


def accepted(agent: Agent[Any, Any], **given: Any) -> Job:
    """Return a job, made without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Job.from_agent(agent, rows=ROWS, **given)


class Custom(WrapperToolset[Any]):
    async def call_tool(self, *given: Any) -> Any:
        return await super().call_tool(*given)


def _with_event(agent: Agent[Any, Any]) -> Agent[Any, Any]:
    agent.on_event(lambda ctx, event: None)
    return agent


def _with_dynamic_toolset(agent: Agent[Any, Any]) -> Agent[Any, Any]:
    agent.toolset(lambda ctx: FunctionToolset([add]))
    return agent


async def _prepared(ctx: RunContext[Any], definition: ToolDefinition) -> ToolDefinition | None:
    return definition


REFUSED: dict[str, tuple[Callable[[], Agent[Any, Any]], str]] = {
    "approval": (lambda: Agent(MODEL, tools=[Tool(add, requires_approval=True)]), "tools"),
    "search": (lambda: Agent(MODEL, tools=[Tool(add, defer_loading=True)]), "tools"),
    "prepare": (lambda: Agent(MODEL, tools=[Tool(add, prepare=_prepared)]), "prepare"),
    "filtered": (
        lambda: Agent(MODEL, toolsets=[FunctionToolset([add]).filtered(lambda ctx, d: True)]),
        "prepare",
    ),
    "prepared": (
        lambda: Agent(MODEL, toolsets=[FunctionToolset([add]).prepared(lambda ctx, ds: ds)]),
        "prepare",
    ),
    "external": (
        lambda: Agent(
            MODEL,
            output_type=[str, DeferredToolRequests],
            toolsets=[ExternalToolset([ToolDefinition(name="outside")])],
        ),
        "toolsets",
    ),
    "approval of a toolset": (
        lambda: Agent(
            MODEL,
            output_type=[str, DeferredToolRequests],
            toolsets=[ApprovalRequiredToolset(FunctionToolset([add]))],
        ),
        "toolsets",
    ),
    "toolset of one's own": (
        lambda: Agent(MODEL, toolsets=[Custom(FunctionToolset([add]))]),
        "toolsets",
    ),
    "dynamic toolset": (lambda: _with_dynamic_toolset(Agent(MODEL)), "toolsets"),
    "history": (
        lambda: Agent(MODEL, capabilities=[ProcessHistory(lambda messages: messages)]),
        "capabilities",
    ),
    "hooks": (lambda: Agent(MODEL, capabilities=[Hooks()]), "capabilities"),
    "native tool": (
        lambda: Agent(model_of("openai-responses"), capabilities=[NativeTool(WebSearchTool())]),
        "capabilities",
    ),
    "events": (lambda: _with_event(Agent(MODEL)), "events"),
    "image": (lambda: Agent(MODEL, output_type=[str, BinaryImage]), "output_type"),
    "deferred": (lambda: Agent(MODEL, output_type=[City, DeferredToolRequests]), "output_type"),
    "headers": (
        lambda: Agent(MODEL, model_settings={"extra_headers": {"x": "y"}}),
        "model_settings",
    ),
    "settings by function": (
        lambda: Agent(MODEL, model_settings=lambda ctx: {"temperature": 0.1}),
        "model_settings",
    ),
    "validation context": (
        lambda: Agent(MODEL, output_type=City, validation_context={"a": 1}),
        "validation_context",
    ),
    "deps": (lambda: Agent(MODEL, deps_type=Shop, tools=[stock]), "deps"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_job_cannot_do_is_an_error_that_can_be_accepted(what: str) -> None:
    make, name = REFUSED[what]
    assert f'ignore=["{name}"]' in told(make(), model=GIVEN)
    # The job is made once everything that was told is accepted.
    also = {"end_strategy", "tools", "output_type", name}
    assert accepted(make(), model=GIVEN, ignore=sorted(also)).valid


NOTED: dict[str, tuple[Callable[[], Agent[Any, Any]], str]] = {
    "end strategy": (lambda: Agent(MODEL, output_type=City, tools=[add]), "end_strategy"),
    "concurrency": (lambda: Agent(MODEL, max_concurrency=3), "max_concurrency"),
    "instrumentation": (lambda: Agent(MODEL, capabilities=[Instrumentation()]), "instrument"),
    "timeout": (lambda: Agent(MODEL, model_settings={"timeout": 30}), "model_settings"),
    "sampling": (
        lambda: Agent(
            model_of("openai", name="gpt-5-mini"),
            model_settings={"temperature": 0.1, "thinking": True},
        ),
        "model_settings",
    ),
}


@pytest.mark.parametrize("what", NOTED)
def test_what_changes_no_answer_is_a_warning_that_can_be_silenced(what: str) -> None:
    make, name = NOTED[what]
    with pytest.warns(UserWarning, match=rf'ignore=\["{name}"\]') as seen:
        assert Job.from_agent(make(), rows=ROWS, model="openai:gpt-5-mini").valid
    assert {warning.filename for warning in seen} == {__file__}
    assert accepted(make(), model="openai:gpt-5-mini", ignore=[name]).valid


def test_what_needs_no_word_gets_none() -> None:
    agent = Agent(
        MODEL,
        name="a",
        description="An agent.",
        metadata={"team": "a"},
        end_strategy="early",
        output_type=ToolOutput(City),
        tools=[Tool(add, metadata={"a": 1})],
        capabilities=[Thinking("low")],
    )
    assert accepted(agent, model="openai:gpt-5-mini").tools[0].name == "add"  # type: ignore[union-attr]


def test_all_is_told_at_once() -> None:
    agent = Agent(
        TestModel(),
        tools=[Tool(add, requires_approval=True)],
        capabilities=[Hooks()],
        max_concurrency=1,
    )
    assert told(agent).count("\n") == 3


# --- models


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("openai:gpt-5-mini", "openai-responses:gpt-5-mini"),
        ("openai-responses:gpt-5-mini", "openai-responses:gpt-5-mini"),
        ("openai-chat:gpt-5-mini", "openai:gpt-5-mini"),
    ],
)
def test_a_model_keeps_its_endpoint_without_a_key(
    name: str, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert accepted(Agent(name, defer_model_check=True)).model == ours


@pytest.mark.parametrize(
    "model",
    [
        None,
        TestModel(),
        FunctionModel(lambda messages, info: None),  # type: ignore[arg-type,return-value]
        FallbackModel(MODEL, MODEL),
        "nobody:nothing",
        MODEL,  # it is served elsewhere
    ],
    ids=["none", "test", "function", "fallback", "unknown", "elsewhere"],
)
def test_another_model_has_to_be_named(model: Any) -> None:
    agent = Agent(model, defer_model_check=True, model_settings={"temperature": 0.5})
    assert 'model="provider:model"' in told(agent)
    job = accepted(agent, model="laptop:qwen3")
    assert (job.model, job.settings) == ("laptop:qwen3", {"temperature": 0.5})


def test_what_is_no_agent_is_told() -> None:
    assert "takes an Agent of Pydantic AI" in told("agent")  # type: ignore[arg-type]
    assert "Did you mean 'tools'?" in told(Agent(MODEL), model="a:b", ignore=["tool"])


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "batchspec.spec.agents.declare", None)
    assert "pip install 'batchspec[pydantic-ai]'" in told(Agent(MODEL), model="a:b")


def test_arguments_of_the_job_win() -> None:
    job = accepted(
        Agent(MODEL, instructions="Theirs.", retries=3),
        model="openai:gpt-5-mini",
        prompt="say {id}",
        instructions="Ours.",
        output_retries=0,
        max_turns=2,
    )
    assert (job.instructions, job.output_retries, job.max_turns) == ("Ours.", 0, 2)
    assert job.source.file == __file__
    assert "Job has no argument 'promt'" in told(Agent(MODEL), model="a:b", promt="x")


def test_overrides_in_force_are_part_of_the_agent() -> None:
    agent = Agent(MODEL, instructions="One.", tools=[add])
    with agent.override(tools=[stock], instructions="Two."):
        job = accepted(agent, model="openai:gpt-5-mini")
    assert [tool.name for tool in job.tools] == ["stock"]  # type: ignore[union-attr]


def test_a_spec_with_an_agent_is_told_with_file_and_line(tmp_path: Path) -> None:
    from batchspec.load.build import load_project  # noqa: PLC0415

    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(
        "from pydantic_ai import Agent, Tool\n"
        "from batchspec import Job, rows\n"
        "agent = Agent('openai-chat:gpt-5-mini', defer_model_check=True, max_concurrency=1)\n"
        "j = Job.from_agent(agent, rows=rows.inline([{'id': '1', 'prompt': 'x'}]))\n"
    )
    desired = load_project(tmp_path, providers={"openai": "/v1/chat/completions"})
    (warning,) = desired.warnings
    assert str(warning.source) == "specs/m.py:4"
    assert "max_concurrency" in str(warning)


def test_a_job_of_an_agent_that_is_declared_twice_is_told(tmp_path: Path) -> None:
    from batchspec.load.build import load_project  # noqa: PLC0415

    (tmp_path / "specs").mkdir()
    one = "j = Job.from_agent(agent, rows=rows.inline([{'id': '1', 'prompt': 'x'}]))\n"
    (tmp_path / "specs" / "m.py").write_text(
        "from pydantic_ai import Agent\n"
        "from batchspec import Job, rows\n"
        f"agent = Agent('openai-chat:gpt-5-mini', defer_model_check=True)\n{one}{one}"
    )
    with pytest.raises(SpecError, match=r"specs/m.py:5: m.j: job is declared twice"):
        load_project(tmp_path, providers={"openai": "/v1/chat/completions"})
