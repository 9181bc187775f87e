"""Specs and data that change while batches run, and names that change at any time."""

from collections.abc import Sequence
from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode, RefusedError
from batchspec.ids import JobAddress
from batchspec.plan.changes import Kind, Plan
from batchspec.project import Project
from batchspec.project.applying import SilentHook
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, JobProgress

JOB = JobAddress("m.j")


def of(plan: Plan, job: str = "m.j") -> Any:
    (found,) = [each for each in plan.jobs if each.address == job]
    return found


def reasons(plan: Plan, job: str = "m.j") -> dict[str, int]:
    return {reason.code: reason.rows for reason in of(plan, job).reasons}


def cancels(plan: Plan) -> list[int]:
    """Return the requests of each batch that would be cancelled."""
    assert all(f.code == "UNWANTED" for f in plan.findings if f.kind is Kind.CANCEL)
    return [found.requests for found in plan.findings if found.kind is Kind.CANCEL]


# --- superseded and cancelled


def test_rows_that_change_in_flight_are_superseded_one_by_one(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.spec("""
        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                prompt=lambda row: f"say {row['id']}" + "!" * (row["id"] == "b"))
    """)
    plan = world.plan()
    assert plan.counts == {Kind.CONTINUE: 1, Kind.RESUBMIT: 1}
    assert of(plan).superseded == 1
    assert cancels(plan) == [], "row a waits for its batch"
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B!"}
    assert world.created == 2
    assert world.lines == 3, "what the first batch answered for b is kept, and not shown"
    assert not world.plan().can_apply


def test_a_batch_without_a_wanted_row_is_cancelled_as_the_plan_says(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.job("a", "b", prompt="'tell {id}'")
    plan = world.plan()
    assert (plan.counts, of(plan).superseded) == ({Kind.RESUBMIT: 2}, 2)
    assert cancels(plan) == [2]
    (found,) = plan.findings
    assert (found.jobs, found.remote_id) == ({"m.j": 2}, world.remote()[0]["id"])
    world.apply()
    assert world.texts() == {"a": "TELL A", "b": "TELL B"}
    assert sorted(batch["status"] for batch in world.remote()) == ["cancelled", "completed"]
    assert not world.plan().can_apply


@pytest.mark.parametrize("gone", ["rows", "job"])
def test_what_is_gone_in_flight_is_cancelled_and_forgotten_not_destroyed(
    world: World, gone: str
) -> None:
    world.job("a", "b")
    world.job("x", name="n", prompt="'n {id}'")
    world.apply(detach=True)
    world.job("c", prompt="'other {id}'")
    if gone == "job":
        world.remove("m")
    plan = world.plan()
    assert plan.counts[Kind.FORGET] == 2
    assert cancels(plan) == [], "n.j is in the batch as well"
    world.remove("n")
    plan = world.plan()
    assert cancels(plan) == [3]
    world.apply()
    assert world.items("m.j").keys() == ({"c"} if gone == "rows" else set())


def test_a_batch_of_a_job_that_is_not_planned_is_not_cancelled(world: World) -> None:
    """Its rows are not known to be gone."""
    world.job("a")
    world.apply(detach=True)
    world.job("a", enabled="False")
    world.job("x", name="n")
    assert cancels(world.plan()) == []
    world.job("a", prompt="'tell {id}'")
    assert cancels(world.plan(excludes=["m.j"])) == []
    assert cancels(world.plan(targets=["n.j"])) == []
    assert cancels(world.plan()) == [1]


def test_a_row_changed_back_in_flight_takes_its_running_request(world: World) -> None:
    """It is paid once."""
    world.job("a", "b")
    world.apply(detach=True)
    world.job("a", "b", prompt=r"lambda row: 'say ' + row['id'] + '!' * (row['id'] == 'b')")
    with world.project() as project:
        project.apply(project.plan(), detach=True)
    world.job("a", "b")
    plan = world.plan()
    assert plan.counts == {Kind.CONTINUE: 1, Kind.REUSE: 1}
    assert (plan.requests, plan.cost) == (0, 0)
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert not world.plan().can_apply


def test_an_old_answer_is_readable_until_the_new_one_is_in(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", prompt="'tell {id}'")
    world.apply(detach=True)
    assert world.texts() == {"a": "SAY A"}
    assert world.items()["a"].previous
    world.apply()
    assert world.texts() == {"a": "TELL A"}


# --- renamed


def test_answers_of_a_job_that_was_forgotten_are_no_renaming(world: World) -> None:
    """Nothing has another name: the same requests were paid for before."""
    world.job("a", "b")
    world.apply()
    with world.project() as project:
        project.state.forget(["m.j"])
    plan = world.plan()
    assert (plan.counts, of(plan).moved_from) == ({Kind.REUSE: 2}, None)
    assert reasons(plan) == {"SAME_REQUEST": 2}


def test_a_renamed_job_is_one_change_and_free(world: World) -> None:
    world.job("a", "b")
    world.apply()
    world.remove("m")
    world.job("a", "b", name="n", variable="k")
    plan = world.plan()
    assert [job.address for job in plan.jobs] == ["n.k"]
    assert of(plan, "n.k").moved_from == "m.j"
    assert (plan.counts, plan.cost_at_most) == ({Kind.REUSE: 2}, 0)
    assert reasons(plan, "n.k") == {"MOVED": 2}
    assert of(plan, "n.k").reasons[0].note == "from m.j"
    world.apply()
    assert world.texts("n.k") == {"a": "SAY A", "b": "SAY B"}
    assert world.items("m.j") == {}
    assert (world.lines, world.plan().can_apply) == (2, False)


def test_a_job_renamed_in_flight_keeps_its_batch(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.remove("m")
    world.job("a", "b", name="n")
    plan = world.plan()
    assert (plan.counts, cancels(plan)) == ({Kind.REUSE: 2}, [])
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 2


def test_a_job_renamed_with_changes_tells_both(world: World) -> None:
    world.job("a", "b", "c")
    world.apply()
    world.remove("m")
    world.job("a", "b", "d", name="n")
    plan = world.plan()
    assert of(plan, "n.j").moved_from == "m.j"
    assert of(plan, "n.j").counts == {Kind.REUSE: 2, Kind.SUBMIT: 1}
    assert of(plan).counts == {Kind.FORGET: 1}


def test_a_job_that_shares_little_is_another_one(world: World) -> None:
    world.job("a", "b", "c")
    world.apply()
    world.remove("m")
    world.job("a", "x", name="n")
    plan = world.plan()
    assert of(plan, "n.j").moved_from is None
    assert of(plan).counts == {Kind.FORGET: 3}


def test_a_renamed_key_is_one_change_and_free(world: World) -> None:
    world.spec("""
        j = Job(model="openai:gpt-5-mini", prompt="say {text}", rows=rows.inline(
            [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}, {"id": "c", "text": "z"}]))
    """)
    world.apply()
    world.spec("""
        j = Job(model="openai:gpt-5-mini", prompt="say {text}", rows=rows.inline(
            [{"id": "a", "text": "x"}, {"id": "B", "text": "y"}, {"id": "d", "text": "x"}]))
    """)
    plan = world.plan()
    assert plan.counts == {Kind.KEEP: 1, Kind.REUSE: 2, Kind.FORGET: 1}
    assert reasons(plan) == {"MOVED": 1, "SAME_REQUEST": 1, "ROW_REMOVED": 1}
    world.apply()
    assert world.texts() == {"a": "SAY X", "B": "SAY Y", "d": "SAY X"}
    assert world.lines == 3


def test_a_protected_job_keeps_its_protection_when_it_is_renamed(world: World) -> None:
    world.job("a", protect="True")
    world.apply()
    world.remove("m")
    world.job("a", name="n")
    with pytest.raises(RefusedError, match=r"m\.j is protected and gone"):
        world.plan()
    world.job("a", name="n", protect="True")
    assert world.plan().counts == {Kind.REUSE: 1}
    world.apply()


def test_a_saved_rename_is_applied_whole(world: World) -> None:
    world.job("a", "b")
    world.apply()
    world.remove("m")
    world.job("a", "b", name="n")
    file = world.root / "rename.plan"
    with world.project() as project:
        saved = project.save_plan(project.plan(whole=False), file)
    assert saved.rows == 4
    with world.project() as project:
        plan = project.replan(project.load_plan(file))
        assert (plan.counts, plan.warnings) == ({Kind.REUSE: 2}, ())
        project.apply(plan)
    world.check()
    assert world.items("m.j") == {}
    assert set(world.items("n.j")) == {"a", "b"}
    assert not world.plan().can_apply


def test_a_saved_plan_of_failed_rows_goes_on_where_replaced_ones_begin_again(world: World) -> None:
    """As it does without a file."""
    world.job("a", "b")
    world.apply()
    file = world.root / "again.plan"
    with world.project() as project:
        project.save_plan(project.plan(whole=False, replace=['m.j["a"]']), file)
        saved = project.load_plan(file)
        plan = project.replan(saved)
    assert reasons(plan) == {"REQUESTED": 1}
    assert isinstance(project, Project)
    world.model = lambda _: {"role": "assistant", "content": None, "refusal": "no"}
    world.job("a", "b", "c")
    world.apply()
    with world.project() as project:
        project.save_plan(project.plan(whole=False, failed=True), file)
        plan = project.replan(project.load_plan(file))
    assert reasons(plan) == {"FAILED": 1}


# --- old answers


def refuse(body: dict[str, Any]) -> Any:
    return {"role": "assistant", "content": None, "refusal": "no"}


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize(
    ("rows", "renamed"),
    [(["a"], {"variable": "k"}), (["z"], {"prompt": "lambda row: 'sing a'"})],
    ids=["job", "key"],
)
def test_an_old_answer_moves_with_its_row(
    world: World, detach: bool, rows: list[str], renamed: dict[str, str]
) -> None:
    """Its replacement is under way, or was not accepted, when the row gets another name."""
    world.job("a", prompt="lambda row: 'say a'")
    world.apply()
    world.model = refuse
    world.job("a", prompt="lambda row: 'sing a'")
    world.apply(detach=detach)
    world.job(*rows, **{"prompt": "lambda row: 'sing a'", **renamed})
    address = "m.k" if "variable" in renamed else "m.j"
    for _ in range(2):
        world.apply(detach=detach)
        assert world.texts(address) == {rows[0]: "SAY A"}
        assert world.items(address)[rows[0]].previous
        detach = False


def test_an_old_answer_is_for_its_own_row_alone(world: World) -> None:
    """Another job that asks the same never had one."""
    world.job("a")
    world.apply()
    world.model = refuse
    world.job("a", prompt="'sing {id}'")
    world.job("a", name="n", prompt="'sing {id}'")
    world.apply()
    world.remove("m")
    world.apply()
    assert world.texts("n.j") == {"a": "no"}


@pytest.mark.parametrize("detach", [True, False])
def test_an_old_answer_outlives_two_replacements(world: World, detach: bool) -> None:
    """The first was asked for with the same request, the second with another one."""
    world.job("a")
    world.apply()
    world.model = refuse
    world.apply(replace=["m.j"])
    assert world.texts() == {"a": "SAY A"}
    world.job("a", prompt="'sing {id}'")
    world.apply(detach=detach)
    assert world.texts() == {"a": "SAY A"}
    assert world.items()["a"].previous


# --- what a run that goes on tells


class _Names(SilentHook):
    """Notes which batches were shown before the first event about one."""

    def __init__(self) -> None:
        self.shown: list[str | None] = []
        self.events = 0

    def event(self, event: Event) -> None:
        self.events += 1

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        if not self.events:
            self.shown += [batch.remote_id for batch in batches]


def test_a_run_that_goes_on_knows_the_providers_names_before_it_tells(world: World) -> None:
    """One batch has one name from the first sentence on."""
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(500)  # the first thing done is a look
    hook = _Names()
    with world.project() as project:
        project.apply(project.plan(), hook=hook)
        (batch,) = project.state.batches(every=True)
    assert hook.shown[:1] == [batch.batch.remote_id]
