"""What people say of answers and jobs: failed again, tainted, protected, empty on purpose."""

from collections.abc import Callable
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode, LockedError, RefusedError, SpecError, StateError, UsageError
from batchspec.ids import JobAddress
from batchspec.plan.changes import Kind, Plan
from batchspec.project import Project
from batchspec.project.tainting import Tainted

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
