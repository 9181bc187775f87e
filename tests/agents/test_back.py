"""Tools of a job in an agent."""

from functools import partial
from typing import Any

import anyio
import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from batchspec import ModelRetry, RunContext, tool


@tool(timeout=5)
def stock(ctx: RunContext[dict[str, int]], item: str, least: int = 1) -> str:
    """Say whether there is enough.

    Args:
        ctx: Who asks.
        item: What.
        least: How many.
    """
    if item not in ctx.deps:
        raise ModelRetry(f"There is no {item} for {ctx.row['customer']}; try {ctx.retry + 1}.")
    return f"{ctx.deps[item] >= least}"


@tool
async def later(n: int) -> int:
    """Do it in a loop."""
    return n + 1


def run(*asked: Any) -> tuple[list[Any], AgentInfo]:
    """Let a model make calls one after the other; return what it was told, and what it knew."""
    told: list[Any] = []
    known: list[AgentInfo] = []
    left = iter(asked)

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        known.append(info)
        told.extend(
            part.model_response_str()
            for part in messages[-1].parts
            if isinstance(part, ToolReturnPart)
        )
        wanted = next(left, None)
        return ModelResponse([TextPart("done") if wanted is None else ToolCallPart(*wanted)])

    agent = Agent(
        FunctionModel(answer),
        deps_type=dict,
        tools=[stock.to_pydantic_ai(), later.to_pydantic_ai()],
        retries=5,
    )
    ran = anyio.run(partial(agent.run, "?", deps={"tea": 3}, metadata={"row": {"customer": "Ada"}}))
    assert ran.output == "done"
    return told, known[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"item": "tea", "least": 4}, "False"),
        ('{"item": "tea"}', "True"),
        ({"item": "milk"}, '{"error":"There is no milk for Ada; try 1."}'),
    ],
)
def test_a_tool_means_the_same_in_an_agent(arguments: Any, told: str) -> None:
    assert run(("stock", arguments))[0] == [told]


def test_arguments_that_do_not_fit_go_back_to_the_model() -> None:
    (told,), _ = run(("stock", {"item": 1}))
    assert "string_type" in told


def test_async_tools_too() -> None:
    assert run(("later", {"n": 1}))[0] == ["2"]


def test_the_model_is_told_the_same() -> None:
    _, info = run()
    told = {each.name: each for each in info.function_tools}
    contract = stock.contract
    assert told["stock"].description == contract.description
    assert told["stock"].parameters_json_schema == contract.parameters
    assert (told["stock"].strict, told["stock"].timeout) == (contract.strict, 5)
