"""Turns that were answered are paid: what ended by a tool or a bound goes on from them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.plan.changes import Kind, Plan
from batchspec.project import ApplyResult

TOOLS = """
import pathlib
LOG = pathlib.Path(__file__).parent.parent / "log"

def note(text):
    with LOG.open("a") as log:
        log.write(f"{{text}}\\n")

@tool(retries=0)
def fine(n: int) -> int:
    note(f"fine {{n}}")
    return n

@tool(retries=0{marks})
def look(n: int) -> int:
    note(f"look {{n}}")
    {look}
    return n

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": k}} for k in {keys!r}]),
        prompt="do {{id}}", tools=[fine, look]{more})
"""
NEVER_TWICE = ", and a tool marked `once` never runs twice"
BROKEN = "raise ValueError('bug')"


def spec(
    world: World, look: str = "", *, marks: str = "", more: str = "", keys: Any = "ab"
) -> None:
    world.spec(TOOLS.format(look=look or "pass", marks=marks, keys=list(keys), more=more))


def log(world: World) -> list[str]:
    path: Path = world.root / "log"
    return path.read_text().splitlines() if path.exists() else []


class Model:
    """Calls both tools in each of some turns, then answers; counts what it is asked."""

    def __init__(self, turns: int = 1) -> None:
        self.turns = turns
        self.asked: list[int] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        turn = 1 + sum(m["role"] == "assistant" for m in body["messages"])
        self.asked.append(turn)
        if turn > self.turns:
            return f"done in {turn}"
        calls = [{"name": name, "arguments": {"n": turn}} for name in ("fine", "look")]
        return {"role": "assistant", "tool_calls": calls}


@pytest.fixture
def model(world: World) -> Model:
    world.model = Model()
    return world.model


def plan(world: World, **options: Any) -> Plan:
    with world.open() as project:
        return project.plan(whole=False, **options)


def again(world: World) -> ApplyResult:
    return wanting(world, failed=True)


def wanting(world: World, **options: Any) -> ApplyResult:
    """Apply a plan that a person asks for with options, and check the state."""
    with world.open() as project:
        result = project.apply(project.plan(**options), hook=world.hook)
    world.check()
    return result


def test_a_tool_that_is_mended_goes_on_with_the_calls_that_failed(
    world: World, model: Model
) -> None:
    spec(world, BROKEN)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    spec(world)
    (told,) = plan(world).notes
    assert told == (
        "2 failed items of m.j can go on from the turns that are paid: "
        "`batchspec plan --failed --target m.j`."
    )
    (job,) = plan(world, failed=True).jobs
    assert (job.counts, job.requests) == ({Kind.CONTINUE: 2}, 2)
    assert [(r.kind, r.code) for r in job.reasons] == [(Kind.CONTINUE, "FAILED")]
    result = again(world)
    assert result.exit_code == ExitCode.DONE
    assert model.asked == [1, 1, 2, 2]
    assert sorted(log(world)) == ["fine 1", "fine 1", *["look 1"] * 4]
    assert world.texts() == {"a": "done in 2", "b": "done in 2"}
    assert plan(world).notes == ()


def test_a_tool_that_fails_again_costs_nothing(world: World, model: Model) -> None:
    spec(world, BROKEN, keys="a")
    world.apply()
    for _ in range(2):
        assert plan(world).can_apply is False
        assert again(world).exit_code == ExitCode.FAILED_ITEMS
    assert (model.asked, log(world).count("look 1")) == ([1], 3)
    assert world.items()["a"].reason == "tool 'look' raised ValueError: bug"


def test_a_call_that_may_run_once_stays_as_it_ended(world: World, model: Model) -> None:
    """Nothing says that its item could go on; `--replace` asks for all of it anew."""
    spec(world, BROKEN, marks=", once=True", keys="a")
    result = world.apply()
    assert result.jobs[0].resumable == 0
    spec(world, marks=", once=True", keys="a")
    assert plan(world).notes == ()
    assert again(world).exit_code == ExitCode.FAILED_ITEMS
    for _ in range(2):
        proposed = plan(world, failed=True)
        assert (proposed.counts, proposed.requests) == ({Kind.KEEP: 1}, 0)
        (told,) = proposed.notes
        assert told == (
            "1 failed item of m.j stays as it is: a call of a tool marked `once` began, and never "
            "runs twice. Only `--replace` asks for it anew."
        )
        assert again(world).exit_code == ExitCode.FAILED_ITEMS
    assert world.items()["a"].reason == "tool 'look' raised ValueError: bug"
    assert (model.asked, log(world).count("look 1")) == ([1], 1)
    assert wanting(world, replace=["m.j"]).exit_code == ExitCode.DONE
    assert model.asked == [1, 1, 2]


def test_calls_beside_one_that_may_run_once_end_with_it(world: World, model: Model) -> None:
    """Both ran when the process died; the other one is not left as if it ran for ever."""
    spec(world, BROKEN, marks=", once=True", keys="a")
    world.apply()
    with closing(sqlite3.connect(world.state / "batchspec.db")) as db, db:
        db.execute("UPDATE tool_calls SET status = 'running', result = NULL")
        db.execute(
            "UPDATE conversations SET phase = 'tools', outcome = NULL, reason = NULL, resumable = 0"
        )
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    with world.open() as project:
        (turn,) = project.turns('m.j["a"]')
    assert [(call.failed, call.result) for call in turn.tool_calls] == [
        (True, 'tool "fine" was cut short, and its item ended before it could run again'),
        (True, f"tool 'look' may have run before an interruption{NEVER_TWICE}"),
    ]
    assert log(world) == ["fine 1", "look 1"]


def test_a_call_of_a_tool_that_is_not_once_any_more_runs_again(world: World, model: Model) -> None:
    spec(world, BROKEN, marks=", once=True", keys="a")
    world.apply()
    spec(world, keys="a")
    assert plan(world, failed=True).counts == {Kind.CONTINUE: 1}
    assert again(world).exit_code == ExitCode.DONE
    assert (model.asked, log(world).count("look 1")) == ([1, 2], 2)


def test_a_call_that_never_began_runs_though_it_may_run_once(world: World) -> None:
    spec(world, BROKEN, keys="a")
    text = (world.root / "specs" / "m.py").read_text()
    pay = text.replace("@tool(retries=0)\ndef fine", "@tool(retries=0, once=True)\ndef fine")

    def looking_first(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return "done"
        calls = [{"name": name, "arguments": {"n": 1}} for name in ("look", "fine")]
        return {"role": "assistant", "tool_calls": calls}

    world.model = looking_first
    world.settings = world.settings.model_copy(update={"tool_concurrency": 1})
    (world.root / "specs" / "m.py").write_text(pay)
    world.apply()
    assert log(world) == ["look 1"]
    (world.root / "specs" / "m.py").write_text(pay.replace(BROKEN, "pass"))
    assert again(world).exit_code == ExitCode.DONE
    assert log(world) == ["look 1", "look 1", "fine 1"]


def test_a_raised_bound_of_turns_goes_on_with_the_calls_of_the_last_reply(
    world: World, model: Model
) -> None:
    model.turns = 3
    spec(world, more=", max_turns=2")
    result = world.apply()
    assert set(world.outcomes().values()) == {"exhausted"}
    assert (result.jobs[0].resumable, plan(world).notes) == (0, ())
    assert plan(world, failed=True).counts == {Kind.RESUBMIT: 2}, "no turn is left"
    spec(world, more=", max_turns=4")
    assert len(plan(world).notes) == 1
    estimate = plan(world, failed=True)
    assert estimate.counts == {Kind.CONTINUE: 2}
    assert again(world).exit_code == ExitCode.DONE
    assert sorted(model.asked) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert sorted(set(log(world))) == [
        f"{name} {n}" for name in ("fine", "look") for n in (1, 2, 3)
    ]
    with world.open() as project:
        turns = project.turns('m.j["a"]')
        spent = project.status().jobs[0].usage.input_tokens
    assert [(t.number, len(t.tool_calls)) for t in turns] == [(1, 2), (2, 2), (3, 2), (4, 0)]
    assert spent == 2 * sum(t.usage.input_tokens for t in turns)


def test_what_a_change_allows_is_known_once_it_is_applied(world: World, model: Model) -> None:
    """And it is taken back when the bound is lowered again."""
    model.turns = 3
    spec(world, more=", max_turns=2")
    world.apply()
    for bound, resumable in ((4, 2), (2, 0), (3, 2)):
        spec(world, more=f", max_turns={bound}")
        assert world.apply().jobs[0].resumable == resumable
        assert set(world.outcomes().values()) == {"exhausted"}
    assert again(world).exit_code == ExitCode.FAILED_ITEMS
    assert sorted(model.asked) == [1, 1, 2, 2, 3, 3]
    assert set(world.outcomes().values()) == {"exhausted"}


CHECKED = """
from pydantic import BaseModel

class A(BaseModel):
    n: int

def check(a: A) -> A:
    if a.n < {least}:
        raise ModelRetry(f"{{a.n}} is too small")
    return a

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}]), prompt="say {{id}}",
        output=A, output_validators=[check]{more})
"""


class Counting:
    """Answers with the number of the turn."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        turn = 1 + sum(m["role"] == "assistant" for m in body["messages"])
        self.asked.append(turn)
        return json.dumps({"n": turn})


def test_raised_retries_ask_the_model_again_from_its_last_answer(world: World) -> None:
    world.model = counting = Counting()
    world.spec(CHECKED.format(least=4, more=""))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert counting.asked == [1, 2]
    assert plan(world, failed=True).counts == {Kind.RESUBMIT: 1}, "it may not be asked again"
    world.spec(CHECKED.format(least=4, more=", output_retries=3"))
    assert plan(world, failed=True).counts == {Kind.CONTINUE: 1}
    assert again(world).exit_code == ExitCode.DONE
    assert counting.asked == [1, 2, 3, 4]
    assert world.items()["a"].output.n == 4


def test_a_reply_that_is_accepted_by_now_costs_nothing_more(world: World) -> None:
    """The change and the wish come in one plan: the reply is judged by the rules of today."""
    world.model = counting = Counting()
    world.spec(CHECKED.format(least=4, more=""))
    world.apply()
    world.spec(CHECKED.format(least=2, more=", output_retries=3"))
    assert again(world).exit_code == ExitCode.DONE
    assert (counting.asked, world.items()["a"].output.n) == ([1, 2], 2)


def test_what_failed_by_other_rules_is_judged_again_before_it_is_asked_for_anew(
    world: World,
) -> None:
    """Its turns are paid; only what still fails may cost anything."""
    world.model = counting = Counting()
    world.spec(CHECKED.format(least=4, more=""))
    world.apply()
    for least, outcome in ((3, "failed"), (2, "succeeded")):
        world.spec(CHECKED.format(least=least, more=""))
        proposed = plan(world, failed=True)
        assert (proposed.counts[Kind.UPDATE], proposed.requests) == (1, 0)
        (told,) = proposed.notes
        assert told == (
            "1 failed item of m.j is judged again first, free: if it still fails then, "
            "`batchspec plan --failed --target m.j` asks for it anew."
        )
        again(world)
        assert (world.outcomes(), counting.asked) == ({"a": outcome}, [1, 2])
        if outcome == "failed":
            assert plan(world, failed=True).counts == {Kind.RESUBMIT: 1}
    assert plan(world, failed=True).counts == {Kind.KEEP: 1}


def test_an_output_that_is_not_accepted_any_more_is_asked_for_in_a_further_turn(
    world: World,
) -> None:
    world.model = counting = Counting()
    world.spec(CHECKED.format(least=1, more=""))
    world.apply()
    world.spec(CHECKED.format(least=2, more=""))
    assert world.apply().jobs[0].resumable == 1
    assert again(world).exit_code == ExitCode.DONE
    assert (counting.asked, world.items()["a"].output.n) == ([1, 2], 2)


@pytest.mark.parametrize("bound", [False, True])
def test_a_saved_plan_goes_on_as_it_says(world: World, model: Model, bound: bool) -> None:
    model.turns = 2
    spec(world, "" if bound else BROKEN, more=", max_turns=1" if bound else "")
    world.apply()
    spec(world)
    world.apply()
    with world.open() as project:
        saved = world.root / "p.plan"
        project.save_plan(project.plan(whole=False, failed=True), saved)
    with world.open() as project:
        assert project.apply(project.load_plan(saved)).exit_code == ExitCode.DONE
    assert sorted(model.asked) == [1, 1, 2, 2, 3, 3]
    world.check()


class KilledError(Exception):
    """The process dies here."""


@pytest.mark.parametrize("event", ["RepliesRejudged", "ToolsRun", "BatchIntended"])
def test_a_run_that_dies_on_the_way_pays_nothing_twice(
    world: World, model: Model, event: str
) -> None:
    model.turns = 2
    spec(world, more=", max_turns=1")
    world.apply()
    spec(world)

    def die(seen: Any) -> None:
        if type(seen).__name__ == event:
            world.hook.react = lambda _: None
            raise KilledError

    world.hook.react = die
    with pytest.raises((KilledError, BaseExceptionGroup)):
        again(world)
    assert world.apply().exit_code == ExitCode.DONE
    assert sorted(model.asked) == [1, 1, 2, 2, 3, 3]


def test_what_goes_on_can_be_cancelled_and_taken_up_again(world: World, model: Model) -> None:
    """Between the plan and the judgement: the mark of the reply outlives it."""
    model.turns = 2
    spec(world, more=", max_turns=1", keys="a")
    world.apply()
    spec(world, keys="a")
    world.apply()
    with closing(sqlite3.connect(world.state / "batchspec.db")) as db, db:
        db.execute("UPDATE conversations SET phase = 'tools', outcome = NULL, reason = NULL")
        db.execute(
            "INSERT OR IGNORE INTO turns SELECT id, tries, turn, batch, request, reply, "
            "input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost, since "
            "FROM conversations"
        )
    world.check()
    with world.open() as project:
        project.cancel("m.j")
    world.check()
    assert world.outcomes() == {"a": "cancelled"}
    assert world.apply().exit_code == ExitCode.DONE
    assert model.asked == [1, 2, 3]
