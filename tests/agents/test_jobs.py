"""Jobs made of agents, in projects: rows, deps, what is fingerprinted, and what functions see."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai import Agent, BinaryContent, ModelRetry, RunContext, Tool, ToolReturn
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ToolFailed
from worlds import World

from batchspec import Job, rows
from batchspec.desired.expand import Expander
from batchspec.errors import SpecError
from batchspec.load.build import load_project
from batchspec.plan.changes import Kind

from .conversations import call
from .corpus import Shop, model_of, stock

HEAD = """
    from pydantic import BaseModel
    from pydantic_ai import Agent, ModelRetry, RunContext

    class City(BaseModel):
        name: str

    agent = Agent("openai-chat:m", output_type=City, end_strategy="early", defer_model_check=True)

    @agent.tool_plain
    def population(city: str) -> int:
        return {people}

    @agent.output_validator
    async def known(city: City) -> City:
        if city.name == {refused!r}:
            raise ModelRetry("not this one")
        return city

    j = Job.from_agent(
        agent, rows=rows.inline([{{"id": "a", "prompt": "Where?"}}]), output_retries=0
    )
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    def answer(body: dict[str, Any]) -> Any:
        asked = body["messages"][-1]["role"] == "user"
        return call("population", city="Bern") if asked else call("final_result", name="Bern")

    with World(tmp_path, model=answer) as made:
        yield made


def test_a_changed_body_or_validator_judges_replies_again_and_sends_nothing(world: World) -> None:
    world.spec(HEAD.format(people=1, refused="Rome"))
    assert world.apply().done
    assert world.items()["a"].output.name == "Bern"
    assert not world.plan().can_apply

    world.spec(HEAD.format(people=2, refused="Rome"))
    assert dict(world.plan().counts)[Kind.UPDATE] == 1
    world.spec(HEAD.format(people=1, refused="Bern"))
    assert [r.code for job in world.plan().jobs for r in job.reasons] == ["POLICY_CHANGED"]
    world.apply()
    assert world.outcomes() == {"a": "failed"}
    world.spec(
        HEAD.format(people=1, refused="Bern").replace("str) -> int", "str, n: int = 1) -> int")
    )
    assert dict(world.plan().counts)[Kind.RESUBMIT] == 1


# --- rows, prompts and deps


def rendered(job: Job, row: dict[str, Any]) -> list[Any]:
    desired = load_project(Path(), providers={"openai": "/v1/chat/completions"}, jobs={"m.j": job})
    return Expander(desired["m.j"]).render_messages(row)


SHOPS = [{"id": "a", "shop": "Lindt"}, {"id": "b", "shop": "Cailler"}]


def _greeting() -> Agent[Shop, str]:
    agent = Agent(model_of("openai"), deps_type=Shop)

    @agent.instructions
    async def greet(ctx: RunContext[Shop]) -> str:
        return f"You work for {ctx.deps.name}."

    return agent


def test_instructions_see_the_deps_and_the_prompt_of_their_row() -> None:
    job = Job.from_agent(
        _greeting(),
        model="openai:gpt-5-mini",
        rows=rows.inline(SHOPS),
        prompt="Who is {shop}?",
        deps=lambda row: Shop(row["shop"]),
    )
    said = [[message["content"] for message in rendered(job, row)] for row in SHOPS]
    assert said == [
        ["You work for Lindt.", "Who is Lindt?"],
        ["You work for Cailler.", "Who is Cailler?"],
    ]


def test_deps_of_a_run_are_made_once_for_instructions() -> None:
    made: list[Shop] = []

    def deps() -> Shop:
        made.append(Shop())
        return made[-1]

    job = Job.from_agent(
        _greeting(), model="openai:m", rows=rows.inline(SHOPS), prompt="?", deps=deps
    )
    for row in SHOPS:
        rendered(job, row)
    assert len(made) == 1


def test_deps_may_be_made_by_an_async_function_and_not_by_one_that_yields() -> None:
    async def deps() -> Shop:
        return Shop("Frey")

    def yielded() -> Iterator[Shop]:
        yield Shop()

    given: Any = {"model": "openai:m", "rows": rows.inline(SHOPS), "prompt": "?"}
    job = Job.from_agent(_greeting(), deps=deps, **given)
    assert rendered(job, SHOPS[0])[0]["content"] == "You work for Frey."
    with pytest.raises(SpecError, match="`deps` yields"):
        Job.from_agent(_greeting(), deps=yielded, **given)


def test_an_error_of_an_instruction_is_told_with_its_row() -> None:
    agent = Agent(model_of("openai"))
    agent.instructions(lambda ctx: str(1 / 0))
    job = Job.from_agent(agent, model="openai:m", rows=rows.inline(SHOPS), prompt="?")
    with pytest.raises(ZeroDivisionError):
        rendered(job, SHOPS[0])


def test_tools_get_the_deps_of_their_row(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    async def look(ctx: RunContext[Shop], n: int) -> str:
        seen[ctx.deps.name] = ctx
        return f"{ctx.deps.name} {n}"

    agent = Agent(
        model_of("openai"),
        deps_type=Shop,
        tools=[Tool(look, max_retries=7)],
        metadata={"team": "x"},
    )
    job = Job.from_agent(
        agent,
        model="openai:gpt-5-mini",
        rows=rows.inline(SHOPS),
        prompt="Who is {shop}?",
        deps=lambda row: Shop(row["shop"]),
    )

    def answer(body: dict[str, Any]) -> Any:
        last = body["messages"][-1]
        return call("look", n=1) if last["role"] == "user" else last["content"]

    with World(tmp_path, model=answer, jobs={"m.j": job}) as world:
        world.apply()
        assert world.texts() == {"a": "Lindt 1", "b": "Cailler 1"}
    ctx = seen["Lindt"]
    assert (ctx.prompt, ctx.tool_name, ctx.run_step) == ("Who is Lindt?", "look", 1)
    assert (ctx.retry, ctx.max_retries, ctx.metadata) == (0, 7, {"team": "x"})
    assert ctx.agent is agent
    assert ctx.tool_call_id.startswith("call")
    assert ctx.run_id
    assert ctx.model.model_name == "gpt-5-mini"


# --- what only a run of the agent has


def _usage(ctx: RunContext[None]) -> int:
    return ctx.usage.requests


def _events(ctx: RunContext[None]) -> None:
    ctx.enqueue("something")


def _file() -> BinaryContent:
    return BinaryContent(b"x", media_type="image/png")


def _beside() -> ToolReturn[str]:
    return ToolReturn("x", content="more")


def _approval() -> None:
    raise ApprovalRequired


def _put_off() -> None:
    raise CallDeferred


def _wrong() -> None:
    raise ValueError("it broke")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_usage, "`ctx.usage` is not known in a batch"),
        (_events, "enqueue"),
        (_file, "returned a file"),
        (_beside, "ToolReturn.content"),
        (_approval, "asked for approval"),
        (_put_off, "put off"),
        (_wrong, "it broke"),
    ],
)
def test_what_a_tool_cannot_have_here_fails_the_item_and_is_named(
    function: Any, told: str, tmp_path: Path
) -> None:
    outcome, said = one_call(tmp_path, Tool(function, name="f"), {})
    assert outcome == "failed"
    assert told in (said or "")


def test_a_tool_that_failed_for_good_tells_the_model(tmp_path: Path) -> None:
    def closed() -> None:
        raise ToolFailed("The shop is closed.")

    outcome, said = one_call(tmp_path, Tool(closed, name="f"), {})
    assert (outcome, said) == ("succeeded", '{"error":"The shop is closed."}')


def test_arguments_are_checked_by_the_tools_own_check(tmp_path: Path) -> None:
    def even(ctx: RunContext[None], n: int) -> None:
        if n % 2:
            raise ModelRetry(f"{n} is odd.")

    def half(n: int) -> int:
        return n // 2

    tool = Tool(half, name="f", args_validator=even)
    assert one_call(tmp_path / "a", tool, {"n": 3})[1] == '{"error": "3 is odd."}'
    assert one_call(tmp_path / "b", tool, {"n": 4})[1] == "2"


def test_a_tool_that_takes_too_long_tells_the_model(tmp_path: Path) -> None:
    async def slow() -> None:
        await anyio.sleep_forever()

    outcome, said = one_call(tmp_path, Tool(slow, name="f", timeout=0.01), {})
    assert (outcome, said) == ("succeeded", '{"error": "Timed out after 0.01 seconds."}')


def test_a_tool_knows_how_often_it_was_tried(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []

    def stubborn(ctx: RunContext[None]) -> str:
        seen.append((ctx.retry, ctx.last_attempt))
        if not ctx.last_attempt:
            raise ModelRetry("Again.")
        return "well"

    agent = Agent(model_of("openai"), tools=[Tool(stubborn, name="f", max_retries=2)])
    asked = iter([call("f"), call("f"), call("f"), "done"])
    job = Job.from_agent(
        agent, model="openai:gpt-5-mini", rows=rows.inline([{"id": "a", "prompt": "?"}])
    )
    with World(tmp_path, model=lambda body: next(asked), jobs={"m.j": job}) as world:
        world.apply()
        assert world.texts() == {"a": "done"}
    assert seen == [(0, False), (1, False), (2, True)]


def test_the_validation_context_reaches_tools(tmp_path: Path) -> None:
    from pydantic import BaseModel, ValidationInfo, field_validator  # noqa: PLC0415

    class Word(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def known(cls, text: str, info: ValidationInfo) -> str:
            return f"{info.context['before']} {text}"

    def say(word: Word, times: int) -> str:
        return word.text * times

    agent = Agent(model_of("openai"), tools=[Tool(say, name="f")])
    agent = Agent(
        model_of("openai"),
        tools=[Tool(say, name="f")],
        validation_context=lambda ctx: {"before": ctx.tool_name},
    )
    told = one_call(tmp_path, agent, {"word": {"text": "x"}, "times": 1})
    assert told == ("succeeded", "f x")


def test_a_sequential_tool_runs_alone(tmp_path: Path) -> None:
    running: list[str] = []
    most: list[list[str]] = []
    together = anyio.Event()

    def tracked(name: str) -> Any:
        async def track() -> str:
            running.append(name)
            most.append(sorted(running))
            # Those that may run together wait for each other.
            if len(running) == 3:
                together.set()
            if name != "alone":
                await together.wait()
            running.remove(name)
            return name

        return track

    agent = Agent(
        model_of("openai"),
        tools=[Tool(tracked("alone"), name="alone", sequential=True)]
        + [Tool(tracked(name), name=name) for name in ("a", "b", "c")],
    )
    from .conversations import calls  # noqa: PLC0415

    wanted = [(name, "{}") for name in ("a", "alone", "b", "alone", "c")]
    conversation(tmp_path, agent, calls(*wanted), "done")
    assert all(names == ["alone"] for names in most if "alone" in names)


def one_call(folder: Path, given: Any, arguments: dict[str, Any]) -> tuple[str | None, str | None]:
    """Let the model call the tool `f` once; return the outcome, and what it was told or why not."""
    agent = given if isinstance(given, Agent) else Agent(model_of("openai"), tools=[given])
    return conversation(folder, agent, call("f", **arguments), None)


def conversation(
    folder: Path, agent: Agent[Any, Any], first: Any, second: Any
) -> tuple[str | None, str | None]:
    """Let the model answer twice; None says what it was told."""

    def answer(body: dict[str, Any]) -> Any:
        last = body["messages"][-1]
        return first if last["role"] == "user" else (second or last["content"])

    job = Job.from_agent(
        agent, model="openai:gpt-5-mini", rows=rows.inline([{"id": "a", "prompt": "?"}])
    )
    folder.mkdir(exist_ok=True)
    with World(folder, model=answer, jobs={"m.j": job}) as world:
        world.apply()
        item = world.items()["a"]
        return item.outcome, item.text if item.outcome == "succeeded" else item.reason


def test_tools_of_an_agent_can_be_called_as_functions() -> None:
    job = Job.from_agent(
        Agent(model_of("openai"), deps_type=Shop, tools=[stock]),
        model="openai:m",
        rows=rows.inline(SHOPS),
        deps=Shop,
    )
    assert job.tools[0].source.file.endswith("corpus.py")  # type: ignore[union-attr]
