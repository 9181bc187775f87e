"""What people say of answers and jobs: failed again, tainted, protected, empty on purpose."""

from collections.abc import Callable
from typing import Any

import pytest
from apply.test_admission import limit
from worlds import Fault, World, failure

from batchspec.errors import (
    ExitCode,
    LockedError,
    ProviderError,
    RefusedError,
    SpecError,
    StateError,
    UsageError,
)
from batchspec.ids import JobAddress
from batchspec.plan.changes import Kind, Plan
from batchspec.project import Project
from batchspec.project.tainting import Tainted
from batchspec.simulator import HTTPFailure
from batchspec.state.events import BatchIntended, ToolsRun

JOB = JobAddress("m.j")


def reasons(plan: Plan, job: str = "m.j") -> dict[str, int]:
    return {r.code: r.rows for each in plan.jobs if each.address == job for r in each.reasons}


def apply(world: World, **wishes: Any) -> ExitCode:
    """Plan with wishes, and apply."""
    with world.project() as project:
        code = project.apply(project.plan(**wishes), hook=world.hook).exit_code
    world.check()
    return code


def second_time(first: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    """Answer each question with what `first` has for it, and later with a success."""
    seen: set[str] = set()

    def model(body: dict[str, Any]) -> Any:
        question = body["messages"][-1]["content"]
        again = question in seen
        seen.add(question)
        return f"again {question}" if again else first.get(question, f"first {question}")

    return model


REFUSAL = {"role": "assistant", "content": None, "refusal": "no"}


# --- --failed


def test_what_failed_is_sent_again_when_a_person_asks(world: World) -> None:
    world.job("a", "b")
    world.model = second_time({"say b": REFUSAL})
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert not world.plan().can_apply, "nobody asked"
    plan = world.plan(failed=True)
    assert reasons(plan) == {"FAILED": 1}
    assert (plan.counts, plan.requests) == ({Kind.RESUBMIT: 1, Kind.KEEP: 1}, 1)
    assert plan.cost > 0
    assert apply(world, failed=True) == ExitCode.DONE
    assert world.texts() == {"a": "first say a", "b": "again say b"}
    assert not world.plan(failed=True).can_apply, "nothing failed any more"


def test_failed_again_counts_within_targets(world: World) -> None:
    world.job("a", "b")
    world.model = second_time({"say a": REFUSAL, "say b": REFUSAL})
    world.apply()
    assert world.plan(failed=True, targets=['m.j["b"]']).counts == {Kind.RESUBMIT: 1}


# --- taint


def test_a_tainted_answer_is_replaced_and_readable_until_then(world: World) -> None:
    world.job("a", "b")
    world.model = second_time({})
    world.apply()
    with world.project() as project:
        assert project.taint('m.j["a"]') == (Tainted(JOB, 1),)
    plan = world.plan()
    assert reasons(plan) == {"TAINTED": 1}
    assert plan.counts == {Kind.RESUBMIT: 1, Kind.KEEP: 1}
    world.apply(detach=True)
    assert world.texts() == {"a": "first say a", "b": "first say b"}
    assert world.items()["a"].previous
    assert world.plan().counts == {Kind.CONTINUE: 1, Kind.KEEP: 1}
    world.apply()
    assert world.texts() == {"a": "again say a", "b": "first say b"}
    assert not world.plan().can_apply, "the mark went with the answer"
    assert world.lines == 3


def test_a_tainted_answer_that_comes_back_is_tainted_still(world: World) -> None:
    """Another prompt, and back: the bad answer is not taken for a good one that is free."""
    world.job("a")
    world.model = second_time({})
    world.apply()
    with world.project() as project:
        project.taint("m.j")
    world.job("a", prompt="'tell {id}'")
    world.apply()
    assert not world.plan().can_apply, "the new prompt has a new answer"
    world.job("a")
    assert reasons(world.plan()) == {"TAINTED": 1}
    world.apply()
    assert world.texts() == {"a": "again say a"}


def test_untaint_takes_the_mark_away(world: World) -> None:
    world.job("a", "b", "c")
    world.apply()
    with world.project() as project:
        assert project.taint("m.*") == (Tainted(JOB, 3),)
        assert project.taint("m.j") == (Tainted(JOB, 0),), "all are already"
        assert project.taint("m.j", keys=["a", "c"], undo=True) == (Tainted(JOB, 2),)
    assert world.plan().counts == {Kind.RESUBMIT: 1, Kind.KEEP: 2}
    with world.project() as project:
        project.taint('m.j["b"]', undo=True)
    assert not world.plan().can_apply


def test_what_is_under_way_has_no_answer_to_taint(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    with world.project() as project:
        assert project.taint("m.j") == (Tainted(JOB, 0),)
    world.apply()
    assert not world.plan().can_apply


@pytest.mark.parametrize(
    ("addresses", "keys", "told"),
    [
        (["m.k"], None, r"No job 'm\.k' is on record\. Did you mean 'm\.j'\?"),
        (['m.j["row-11"]'], None, r"no item with the key 'row-11' on record\. Did you mean 'row-1"),
        (["m.j"], ["row-1", "zz"], r"no item with the key 'zz' on record\.  ?Nothing was changed"),
        (["m.j", "m.j"], ["a"], "Keys are those of one job"),
        (['m.j["row-1"]'], ["row-1"], r"is one item; keys are those of a job, 'm\.j'"),
    ],
)
def test_a_misspelt_address_taints_nothing(
    world: World, addresses: list[str], keys: list[str] | None, told: str
) -> None:
    world.job("row-1", "row-2")
    world.apply()
    with world.project() as project:
        before = project.status().serial
        with pytest.raises(UsageError, match=told):
            project.taint(*addresses, keys=keys)
        assert project.status().serial == before
        assert project.status().lease is None
    assert not world.plan().can_apply


def test_tainting_needs_the_lease_and_a_state(world: World) -> None:
    world.job("a")
    with (
        pytest.raises(StateError, match="no state"),
        Project(world.root, settings=world.settings, clock=world.clock) as project,
    ):
        project.taint("m.j")
    world.apply()
    with world.project() as holder, world.project() as other:
        holder.store().acquire("holder", "apply")
        with pytest.raises(LockedError):
            other.taint("m.j")


# --- guards


def test_an_empty_source_may_forget_when_a_person_says_so(world: World) -> None:
    world.job("a", "b")
    world.apply()
    world.job()
    with pytest.raises(RefusedError, match="--allow-empty"):
        world.plan()
    assert world.plan(allow_empty=True).counts == {Kind.FORGET: 2}
    apply(world, allow_empty=True)
    assert world.items() == {}
    world.job("a", "b")
    assert world.plan().counts == {Kind.REUSE: 2}, "forgotten, not destroyed"


def test_a_protected_job_that_is_gone_is_not_forgotten(world: World) -> None:
    """The spec is gone, so the state has to remember it."""
    world.job("a", "b", protect="True")
    world.job("x", name="n")
    world.apply()
    world.remove("m")
    with pytest.raises(RefusedError, match=r"m\.j is protected and gone .* set protect=False"):
        world.apply()
    assert set(world.items()) == {"a", "b"}
    world.job("a", "b", protect="False")
    plan = world.plan()
    assert plan.can_apply
    assert plan.counts == {Kind.KEEP: 3}
    assert reasons(plan) == {"PROTECT_CHANGED": 0}
    world.apply()
    assert not world.plan().can_apply
    world.remove("m")
    assert world.plan().counts == {Kind.KEEP: 1, Kind.FORGET: 2}
    world.apply()
    assert world.created == 1, "nothing of this was paid for"


def test_protection_is_recorded_without_anything_else(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", protect="True")
    (job,) = world.plan().jobs
    assert (job.protects, job.changes, job.moves) == (True, True, False)
    world.apply()
    assert not world.plan().can_apply
    with world.project() as project, project.reader() as reader:
        assert reader.protected() == {JOB: True}


def test_nothing_is_forgotten_while_another_module_does_not_load(world: World) -> None:
    """Its jobs are gone, and so is a whole module: nobody can tell which is meant."""
    world.job("a", variable="one")
    world.job("b", variable="two", name="n")
    world.job("c", variable="three", name="o")
    world.apply()
    world.remove("n")
    world.spec("import no_such_module", "o")
    with pytest.raises(SpecError, match="no_such_module"):
        world.apply()
    assert set(world.items("n.two")) == {"b"}
    world.job("c", variable="three", name="o")
    plan = world.plan()
    assert plan.counts == {Kind.KEEP: 2, Kind.FORGET: 1}
    assert reasons(plan, "n.two") == {"JOB_REMOVED": 1}


def test_a_disabled_job_is_left_alone(world: World) -> None:
    """Neither cancelled nor forgotten, in flight or not."""
    world.job("a", "b")
    world.apply(detach=True)
    world.job("a", enabled="False")
    assert not world.plan().can_apply
    world.apply()
    assert set(world.items()) == {"a", "b"}
    world.job("a", "b")
    world.apply()
    assert world.outcomes() == {"a": "succeeded", "b": "succeeded"}
    assert world.lines == 2


# --- a mark stays until another answer was accepted


def die_at(world: World, kind: type) -> None:
    """Apply, and die after the first event of a kind."""

    def die(event: Any) -> None:
        if isinstance(event, kind):
            world.hook.react = lambda event: None
            raise KilledError

    world.hook.react = die
    with pytest.raises(KilledError):
        world.apply()


class KilledError(Exception):
    """The process dies here."""


def is_replaced_at_last(world: World) -> None:
    """See that the plan knows the mark, and that it goes with the answer that is accepted."""
    assert reasons(world.plan()) == {"TAINTED": 1}
    world.apply()
    assert world.outcomes() == {"a": "succeeded", "b": "succeeded"}
    assert not world.items()["a"].previous
    assert world.texts()["a"] == "again say a"
    assert not world.plan().can_apply


@pytest.fixture
def marked(world: World) -> World:
    world.job("a", "b")
    world.model = second_time({})
    world.apply()
    with world.project() as project:
        project.taint('m.j["a"]')
    return world


def test_a_mark_outlives_an_upload_that_is_refused(marked: World) -> None:
    """The batch never was at the provider."""
    refused = Fault("POST", "/files", status=401, body=failure("Invalid key", "invalid_api_key"))
    marked.wire.faults.append(refused)
    with pytest.raises(ProviderError):
        marked.apply()
    with marked.project() as project:
        project.cancel("m.j")
    is_replaced_at_last(marked)


def test_a_mark_outlives_a_batch_that_is_taken_apart(marked: World) -> None:
    """The row went while it waited, and its bad answer is not taken for a good one."""
    die_at(marked, BatchIntended)
    marked.job("b")
    marked.apply()
    marked.job("a", "b")
    is_replaced_at_last(marked)


@pytest.mark.parametrize("refusal", [REFUSAL, HTTPFailure(400, "no")])
def test_a_mark_outlives_a_new_try_that_is_not_accepted(marked: World, refusal: Any) -> None:
    marked.model = lambda body: refusal
    assert marked.apply().exit_code == ExitCode.FAILED_ITEMS
    assert marked.items()["a"].previous
    assert marked.texts()["a"] == "first say a"
    marked.model = lambda body: f"again {body['messages'][-1]['content']}"
    is_replaced_at_last(marked)


def test_a_mark_that_is_under_way_can_be_taken_away(marked: World) -> None:
    marked.apply(detach=True)
    with marked.project() as project:
        assert project.taint("m.j", undo=True) == (Tainted(JOB, 1),)
        project.cancel("m.j")
    assert not marked.plan().can_apply, "the old answer is a good one again"


def test_a_mark_outlives_turns_that_are_stopped(world: World) -> None:
    """What the first turn of the new try said is no answer yet."""
    world.spec("""
        @tool
        def add(x: int) -> int:
            "Add."
            return x

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                prompt="say {id}", tools=[add])
    """)
    said = "first"

    def model(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return f"{said} {body['messages'][0]['content']}"
        return {"role": "assistant", "tool_calls": [{"name": "add", "arguments": {"x": 1}}]}

    world.model = model
    world.apply()
    with world.project() as project:
        project.taint('m.j["a"]')
    die_at(world, ToolsRun)
    with world.project() as project:
        project.cancel("m.j")
    assert world.texts()["a"] == "first say a"
    said = "again"
    is_replaced_at_last(world)


CHECKED = """
def check(value):
    if {bad}:
        raise ModelRetry("no")
    return value

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": key}} for key in {keys!r}]),
        prompt="say {{id}}", output_validators=[check], output_retries={retries})
"""


def checked(world: World, bad: str, *keys: str, retries: int = 0) -> None:
    world.spec(CHECKED.format(bad=bad, keys=list(keys), retries=retries))


def test_a_mark_goes_when_the_new_answer_is_accepted_in_the_end(world: World) -> None:
    """A validator refused it, and a looser one accepts it; the tainted one it did not clear."""
    checked(world, "False", "a")
    world.model = second_time({})
    world.apply()
    with world.project() as project:
        project.taint("m.j")
    checked(world, "'first' in value", "a")
    assert reasons(world.plan())["TAINTED"] == 1
    checked(world, "'again' in value", "a")
    world.apply()
    assert (world.texts(), world.items()["a"].previous) == ({"a": "first say a"}, True)
    assert reasons(world.plan()) == {"TAINTED": 1}
    checked(world, "False", "a")
    world.apply()
    assert world.texts() == {"a": "again say a"}


# --- judged again


def test_an_answer_that_was_replaced_does_not_come_back(world: World) -> None:
    """The second took its place for good, whatever is thought of the second now."""
    checked(world, "False", "a")
    world.model = second_time({})
    world.apply()
    world.apply(replace=["m.j"])
    assert world.texts() == {"a": "again say a"}
    checked(world, "True", "a")
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "failed"}
    assert world.texts() == {"a": "again say a"}
    assert not world.items()["a"].previous


def test_what_was_declined_at_a_later_turn_can_be_accepted_as_it_is(world: World) -> None:
    """The last reply is that of the first turn, and the request of the second is not sent."""
    limit(world, min_requests=2, lone_request="error")
    checked(world, "'a' in value.split()", "a", "b", retries=1)
    world.model = lambda body: body["messages"][0]["content"]
    world.apply()
    assert world.outcomes() == {"a": "failed", "b": "succeeded"}
    checked(world, "False", "a", "b", retries=1)
    world.apply()
    assert world.texts() == {"a": "say a", "b": "say b"}
    assert not world.plan().can_apply


def test_a_late_accepted_reply_is_shown_with_its_own_text(world: World) -> None:
    """Not with that of the answer it replaces."""
    limit(world, min_requests=2, lone_request="error")
    world.model = second_time({})
    checked(world, "'again say a' in value", "a", "b", retries=1)
    world.apply()
    world.apply(replace=["m.j"])
    assert world.texts()["a"] == "first say a"
    checked(world, "False", "a", "b", retries=1)
    world.apply()
    assert world.texts() == {"a": "again say a", "b": "again say b"}
