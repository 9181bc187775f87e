"""Answers that are not accepted, in every output mode: what the model is told, and how it ends."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from worlds import World

from batchspec.errors import SpecError
from batchspec.plan.changes import Kind
from batchspec.project.jobs import most_turns
from batchspec.results.read import Answers, Item
from batchspec.spec.output import FEEDBACK

Body = dict[str, Any]

HEAD = """
    from pydantic import BaseModel

    class City(BaseModel):
        name: str
        people: int

    class Sea(BaseModel):
        depth: int

    @tool
    def look(name: str) -> int:
        "Look up how many people live in a city."
        return 7

    def checked(city: City) -> None:
        if city.people < 1:
            raise ModelRetry("Somebody lives there.")

    def shout(ctx: RunContext, city: City) -> str:
        if city.people < 1:
            raise ModelRetry("Somebody lives there.")
        return f"{city.name.upper()} of {ctx.key}"

"""


def job(output: str, more: str = "", head: str = HEAD) -> str:
    made = (
        "    j = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]),"
        f" prompt='about {{id}}', output={output}, {more})\n"
    )
    return f"{head}{made}"


def speaking(*turns: Any, seen: list[Body] | None = None) -> Callable[[Body], Any]:
    """Return a model that says one thing a turn; a list is calls, as (name, arguments)."""

    def model(body: Body) -> Any:
        if seen is not None:
            seen.append(body)
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        said = turns[min(turn, len(turns) - 1)]
        if not isinstance(said, list):
            return said
        calls = [{"name": name, "arguments": arguments} for name, arguments in said]
        return {"role": "assistant", "tool_calls": calls}

    return model


REFUSED = "        raise ModelRetry('No.')\n        return "
GOOD, NOBODY, BAD = (
    {"name": "Ulm", "people": 7},
    {"name": "Ulm", "people": 0},
    {"name": "Ulm", "people": "many"},
)


def in_mode(mode: str, value: Any) -> Any:
    return [("final_result", value)] if mode == "ToolOutput" else value


MODES = ("NativeOutput", "ToolOutput", "PromptedOutput")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("output", "more", "first", "told"),
    [
        ("City", "", BAD, "int_parsing"),
        ("City", "output_validators=[checked]", NOBODY, "Somebody lives there."),
        ("shout", "", NOBODY, "Somebody lives there."),
        ("shout", "", BAD, "int_parsing"),
    ],
    ids=["schema", "validator", "function", "function's schema"],
)
def test_an_answer_that_is_not_accepted_is_asked_for_again(  # noqa: PLR0917
    world: World, mode: str, output: str, more: str, first: Any, told: str
) -> None:
    world.spec(job(f"{mode}({output})", more))
    seen: list[Body] = []
    world.model = speaking(in_mode(mode, first), in_mode(mode, GOOD), seen=seen)
    world.apply()
    item = world.items()["a"]
    assert (item.outcome, item.turns) == ("succeeded", 2)
    assert item.output == "ULM of a" if output == "shout" else item.output.people == 7
    reply, feedback = seen[1]["messages"][-2:]
    assert told in feedback["content"]
    if mode == "ToolOutput":
        assert feedback["role"] == "tool"
        assert feedback["tool_call_id"] == reply["tool_calls"][0]["id"]
        assert "error" in json.loads(feedback["content"])
        assert [body["tool_choice"] for body in seen] == ["required", "required"]
    else:
        assert feedback["role"] == "user"
        assert feedback["content"].startswith(FEEDBACK)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("turns", "more", "outcome", "told"),
    [
        ([BAD, BAD], "", "failed", "The output was not accepted"),
        ([BAD, BAD, GOOD], "output_retries=5, max_turns=2", "exhausted", "turn 2 of 2"),
        ([{"refusal": "I won't."}], "", "refused", "I won't."),
    ],
    ids=["retries", "turns", "refusal"],
)
def test_each_way_to_fail_has_its_name(  # noqa: PLR0917
    world: World, mode: str, turns: list[Any], more: str, outcome: str, told: str
) -> None:
    world.spec(job(f"{mode}(City)", more))
    world.model = speaking(*[t if "refusal" in t else in_mode(mode, t) for t in turns])
    world.apply()
    item = world.items()["a"]
    assert item.outcome == outcome
    assert told in (item.reason or "")
    assert FEEDBACK not in (item.reason or "")
    assert outcome == "refused" or "many" in (item.text or ""), "what it said can be looked at"


@pytest.mark.parametrize(
    ("finish", "outcome"), [("length", "truncated"), ("content_filter", "filtered")]
)
def test_a_call_that_was_cut_is_no_answer(world: World, finish: str, outcome: str) -> None:
    world.spec(job("ToolOutput(City)"))
    part = {"name": "final_result", "arguments": '{"name": "Ul'}
    world.model = lambda body: {"role": "assistant", "tool_calls": [part], "finish_reason": finish}
    world.apply()
    assert world.outcomes() == {"a": outcome}


def test_functions_run_beside_an_output_that_is_not_accepted(world: World) -> None:
    """Every call has to be answered: what was computed, and what is wrong, in the order asked."""
    world.spec(job("ToolOutput(City)", "tools=[look]"))
    seen: list[Body] = []
    first = [("look", {"name": "Ulm"}), ("final_result", BAD), ("look", {"nam": "Ulm"})]
    world.model = speaking(first, [("final_result", GOOD)], seen=seen)
    world.apply()
    item = world.items()["a"]
    assert (item.outcome, item.turns, item.output.people) == ("succeeded", 2, 7)
    calls = seen[1]["messages"][-4]["tool_calls"]
    answers = seen[1]["messages"][-3:]
    assert [a["tool_call_id"] for a in answers] == [c["id"] for c in calls]
    assert answers[0]["content"] == "7"
    assert "int_parsing" in answers[1]["content"]
    assert "missing" in answers[2]["content"]


def test_such_turns_are_bounded_by_the_retries_too(world: World) -> None:
    world.spec(job("ToolOutput(City)", "tools=[look]"))
    world.model = speaking([("look", {"name": "Ulm"}), ("final_result", BAD)])
    world.apply()
    item = world.items()["a"]
    assert (item.outcome, item.turns) == ("failed", 2)


def test_functions_do_not_run_beside_an_output_that_is_accepted(world: World) -> None:
    world.spec(job("ToolOutput(City)", "tools=[look]"))
    world.model = speaking([("look", {"name": "Ulm"}), ("final_result", GOOD)])
    world.apply()
    assert world.outcomes() == {"a": "succeeded"}
    with world.open() as project:
        (turn,) = project.turns('m.j["a"]')
    assert [call.name for call in turn.tool_calls] == []


def test_an_unknown_tool_is_told_the_output_tools_too(world: World) -> None:
    world.spec(job("[ToolOutput(City), Sea]"))
    seen: list[Body] = []
    world.model = speaking([("nothing", {})], [("final_result_Sea", {"depth": 3})], seen=seen)
    world.apply()
    assert world.items()["a"].output.depth == 3
    answer = seen[1]["messages"][-1]["content"]
    assert "'final_result_City'" in answer
    assert "'final_result_Sea'" in answer


def test_text_instead_of_a_call_is_asked_for_again(world: World) -> None:
    world.spec(job("ToolOutput(City)"))
    seen: list[Body] = []
    world.model = speaking("Ulm has seven.", [("final_result", GOOD)], seen=seen)
    world.apply()
    assert world.items()["a"].output.people == 7
    feedback = seen[1]["messages"][-1]
    assert feedback["role"] == "user"
    assert "by calling the tool 'final_result'" in feedback["content"]


def test_an_output_tool_may_have_retries_of_its_own(world: World) -> None:
    world.spec(job("ToolOutput(City, max_retries=3)", "output_retries=0"))
    bad = [("final_result", BAD)]
    world.model = speaking(bad, bad, bad, [("final_result", GOOD)])
    with world.open() as project:
        assert most_turns(project.load()["m.j"]) == 4, "an estimate counts them"
    world.apply()
    assert world.items()["a"].turns == 4


@pytest.mark.parametrize(
    ("output", "said", "found"),
    [
        ("[City, str]", "Just text.", "Just text."),
        ("TextOutput(str.split)", "Just text.", ["Just", "text."]),
        ("[City, Sea]", {"result": {"kind": "Sea", "data": {"depth": 3}}}, {"depth": 3}),
        ("[ToolOutput(City), Sea]", [("final_result_Sea", {"depth": 3})], {"depth": 3}),
        ("ToolOutput(list[int])", [("final_result", {"response": [1]})], [1]),
        ("ToolOutput(shout)", [("final_result", GOOD)], "ULM of a"),
    ],
)
def test_results_are_read_in_every_mode_and_without_the_specs_too(
    world: World, output: str, said: Any, found: Any
) -> None:
    world.spec(job(output))
    world.model = speaking(said)
    world.apply()
    (item,) = world.items().values()
    assert item.output_json() == found
    with world.open() as project, project.reader() as reader:
        wires = project.providers["openai"].wires
        bare = [Item(stored, Answers(item.address, wires)) for stored in reader.items("m.j")]  # type: ignore[arg-type]
    assert bare[0].output_json() == json.loads(json.dumps(bare[0].output))
    kept = said[0][1] if isinstance(said, list) else said
    assert json.dumps(kept)[1:-1] in json.dumps(bare[0].output_json())


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("shout", GOOD),
        ("ToolOutput(shout)", [("final_result", GOOD)]),
        ("PromptedOutput(shout)", GOOD),
        ("[Sea, shout]", {"result": {"kind": "shout", "data": GOOD}}),
        ("[ToolOutput(Sea), ToolOutput(shout)]", [("final_result_shout", GOOD)]),
        ("TextOutput(shout)", "Ulm"),
    ],
)
def test_a_changed_output_function_judges_stored_replies_again_free(
    world: World, output: str, said: Any
) -> None:
    text = "    def shout(ctx: RunContext, city: str) -> str:\n        return city.upper()\n\n"
    head = HEAD[: HEAD.index("    def shout")] + text if output.startswith("Text") else HEAD
    world.spec(job(output, head=head))
    world.model = speaking(said)
    world.apply()
    lines, before = world.lines, world.items()["a"].output
    changed = head.replace(".upper()", ".lower()")
    world.spec(job(output, head=changed))
    plan = world.plan()
    assert plan.requests == 0
    assert dict(plan.counts)[Kind.UPDATE] == 1
    world.apply()
    after = world.items()["a"].output
    assert (before != after, before.lower()) == (True, after.lower())

    world.spec(job(output, head=changed.replace("        return ", REFUSED)))
    world.apply()
    assert world.outcomes() == {"a": "failed"}
    world.spec(job(output, head=head))
    world.apply()
    item = world.items()["a"]
    assert (item.outcome, item.output) == ("succeeded", before), "and back, from the raw reply"
    with world.open() as project, project.reader() as reader:
        (stored,) = reader.items("m.j")  # type: ignore[arg-type]
        bare = Item(stored, Answers(item.address, project.providers["openai"].wires))  # type: ignore[arg-type]
    assert "Ulm" in (bare.text or ""), "readable without the specs all the same"
    assert world.lines == lines


@pytest.mark.parametrize("output", ["ToolOutput(City)", "[ToolOutput(City), Sea]", "[City, str]"])
def test_an_output_that_came_while_its_job_was_away_is_judged_once_it_is_back(
    world: World, output: str
) -> None:
    """Its batch goes on for the sake of another job; nothing is paid again."""
    name = "final_result_City" if "Sea" in output else "final_result"
    world.model = lambda body: (
        {"role": "assistant", "tool_calls": [{"name": name, "arguments": GOOD}]}
        if "tools" in body
        else "text"
    )
    world.job("b", name="n")
    world.spec(job(output))
    world.apply(detach=True)
    world.remove("m")
    world.apply()
    world.spec(job(output))
    world.apply()
    (item,) = world.items().values()
    assert (item.outcome, item.turns, item.output_json()) == ("succeeded", 1, GOOD)
    assert world.lines == 2


def test_another_mode_is_another_request(world: World) -> None:
    world.spec(job("City"))
    world.model = speaking(GOOD)
    world.apply()
    world.spec(job("ToolOutput(City)"))
    plan = world.plan()
    assert dict(plan.counts)[Kind.RESUBMIT] == 1


def test_output_tools_are_checked_before_anything_is_sent(world: World) -> None:
    head = HEAD + "    @tool\n    def final_result(x: int) -> int:\n        return x\n\n"
    world.spec(job("ToolOutput(City)", "tools=[final_result]", head=head))
    with pytest.raises(SpecError, match="An output tool is called 'final_result', as another"):
        world.plan()
    world.spec(job("ToolOutput(City, name='a b')"))
    with pytest.raises(SpecError, match="output tool name 'a b' is out of bounds"):
        world.plan()
    world.spec(job("ToolOutput(dict[str, int])"))
    with pytest.raises(SpecError, match=r"ToolOutput\(…, strict=False\)"):
        world.plan()
