"""The engine: what it does by itself, what it leaves, and what it goes on with."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from batchspec.config import WatchSettings
from batchspec.errors import StalePlanError, StateError
from batchspec.plan.changes import Kind
from batchspec.plan.consent import Consent
from batchspec.project import beating
from batchspec.project.pending import Pending
from batchspec.project.planfiles import SavedPlan, read_plan, read_rows, write_plan
from batchspec.providers.openai.client import OpenAIClient
from batchspec.simulator import AppTransport
from batchspec.state.events import CallFailed
from batchspec.state.watching import ConditionChanged, PlanGranted
from batchspec.watch.engine import Engine
from batchspec.watch.protocol import Beside, Reconciled, Round
from tests.endurance.disk import FullDisk
from tests.worlds import BASE_URL, Fault, World, failure

Step = Callable[[Engine], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def watch(world: World, consent: Consent, *steps: Step) -> None:
    """Let an engine run: a step each time it has nothing to do, until there are no more."""
    left = list(steps)
    with world.open() as project:
        project.pin()
        engine = Engine(project=project, consent=consent, hook=world.hook)

        def idle(_until: float | None) -> None:
            if left:
                left.pop(0)(engine)
            else:
                engine.drain()

        engine.idle = idle
        anyio.run(engine.run)
    world.check()
    assert not left


def conditions(world: World) -> dict[tuple[str | None, str], tuple[str, str]]:
    with world.open() as project, project.reader() as reader:
        return {(c.job, c.type): (c.status, c.reason) for c in reader.conditions()}


def test_nothing_is_sent_that_nobody_agreed_to(world: World) -> None:
    world.job("a", "b")
    watch(world, Consent())
    assert world.created == 0
    assert conditions(world)[None, "Consented"] == ("False", "Consent")
    assert [saved.plan.requests for saved in Pending(world.state)] == [2]


def test_what_a_person_approves_is_done_and_nothing_else(world: World) -> None:
    world.job("a", "b")

    def approve(engine: Engine) -> None:
        pending = Pending(world.state)
        (saved,) = pending
        pending.approve(saved)
        engine.replan()

    watch(world, Consent(), approve)
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert conditions(world)[None, "Consented"] == ("True", "NothingPending")
    assert conditions(world)["m.j", "Converged"] == ("True", "AllFinal")
    assert not list(Pending(world.state))


def test_changes_are_submitted_where_that_is_agreed(world: World) -> None:
    world.job("a", "b")
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_what_is_too_dear_waits(world: World) -> None:
    world.job("a", "b")
    watch(world, Consent(approve="all", max_cost=Decimal("0.0000001")))
    assert world.created == 0
    assert conditions(world)[None, "Consented"] == ("False", "MaxCost")


def test_what_is_gone_is_forgotten_only_with_prune(world: World) -> None:
    world.job("a", "b")
    world.apply()
    world.job("a", "c")
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert set(world.texts()) == {"a", "b", "c"}
    assert conditions(world)[None, "Consented"] == ("False", "Removals")
    watch(world, Consent(approve="all", max_cost=Decimal(1), prune=True))
    assert set(world.texts()) == {"a", "c"}


def test_a_provider_that_is_away_from_the_beginning_is_asked_ever_more_rarely(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.job("a")
    world.apply(detach=True)
    transport = AppTransport(world.wire)
    client = partial(OpenAIClient, api_key="test", base_url=BASE_URL, transport=transport)
    monkeypatch.setattr(world, "client", partial(client, retries=0))
    there, times = world.wire.app, 14

    async def away(*given: Any) -> None:
        nonlocal times
        if times := max(times - 1, 0):
            raise httpx2.ConnectError("refused")
        await there(*given)

    world.wire.app = away
    watch(world, Consent())
    assert world.texts() == {"a": "SAY A"}
    failed = [event for event in world.hook.events if isinstance(event, CallFailed)]
    waits = [event.next_at - event.at for event in failed]
    assert waits == sorted(waits)
    assert len(waits) == 13
    assert waits[0] < 1
    assert waits[-1] > 500


def test_what_answers_make_goes_on_and_what_changed_waits(world: World) -> None:
    world.spec(
        """
        up = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="say {id}")
        down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="again {output}")
        """
    )
    world.apply(detach=True)
    assert world.created == 1
    watch(world, Consent())
    assert world.texts("m.down") == {"a": "AGAIN SAY A"}
    assert conditions(world)[None, "Consented"] == ("True", "NothingPending")


def _chain(world: World, keys: str) -> None:
    wanted = ", ".join(f'{{"id": "{key}"}}' for key in keys)
    world.spec(
        f"""
        up = Job(model="openai:gpt-5-mini", rows=rows.inline([{wanted}]), prompt="say {{id}}")
        down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="again {{output}}")
        """
    )


def test_rows_that_answers_under_way_show_to_be_gone_are_forgotten_with_prune(
    world: World,
) -> None:
    _chain(world, "ab")
    world.apply()
    _chain(world, "bc")
    world.apply(detach=True)
    watch(world, Consent(approve="all", max_cost=Decimal(1), prune=True))
    assert set(world.texts("m.up")) == set(world.texts("m.down")) == {"b", "c"}
    assert conditions(world)[None, "Consented"] == ("True", "NothingPending")


def test_rows_that_answers_under_way_show_to_be_gone_wait_without_it(world: World) -> None:
    _chain(world, "ab")
    world.apply()
    _chain(world, "bc")
    world.apply(detach=True)
    watch(world, Consent())
    assert set(world.texts("m.down")) == {"a", "b", "c"}
    assert conditions(world)[None, "Consented"] == ("False", "Consent")
    (saved,) = Pending(world.state)
    assert saved.plan.counts[Kind.FORGET] == 1


def test_a_wrong_row_holds_up_nothing_that_was_agreed_to(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.job("a", "b", "a")
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert conditions(world)[None, "Planned"] == ("False", "RowsInvalid")
    world.job("a", "b", "c")
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert conditions(world)[None, "Planned"] == ("True", "Planned")
    assert set(world.texts()) == {"a", "b", "c"}


def test_a_refused_request_rests_and_is_tried_again(world: World) -> None:
    world.wire.faults.append(Fault("POST", "/batches", status=403, body=failure("no"), times=3))
    world.job("a")
    began = world.clock.now()
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert world.texts() == {"a": "SAY A"}
    assert world.wire.count("POST", "/batches") == 4
    # 15, 30 and 60 seconds, with up to a fifth added.
    assert 105 <= world.clock.now() - began < 300
    assert conditions(world)[None, "Stalled"] == ("False", "Recovered")


def test_each_round_says_what_it_is_and_how_it_ended(world: World) -> None:
    told: list[Beside] = []
    world.settings = world.settings.model_copy(update={"watch": WatchSettings(gc_every=0)})
    world.wire.faults.append(Fault("POST", "/batches", status=403, body=failure("no"), times=1))
    world.job("a")
    with world.open() as project:
        project.pin()
        consent = Consent(approve="all", max_cost=Decimal(1))
        engine = Engine(project=project, consent=consent, hook=world.hook, beside=told.append)
        engine.idle = lambda _until: engine.drain()
        anyio.run(engine.run)
    (begun, *_), (ended, *_) = (
        [one for one in told if isinstance(one, kind)] for kind in (Round, Reconciled)
    )
    granted = next(e for e in world.hook.events if isinstance(e, PlanGranted))
    assert isinstance(ended, Reconciled)
    assert ended.result == "done"
    assert ended.seconds >= 15  # the refusal rested
    assert Round(begun.reconcile, begun.serial, granted.plan) in told


def test_without_specs_what_is_under_way_is_looked_after_and_nothing_is_planned(
    world: World,
) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.remove("m")
    with world.open() as project:
        project.pin(specs=False)
        engine = Engine(project=project, consent=Consent(), hook=world.hook, plans=False)
        engine.idle = lambda _until: engine.drain()
        anyio.run(engine.run)
    assert not list(Pending(world.state))
    assert set(world.texts()) == {"a", "b"}
    world.job("a", "b")
    assert world.apply().done
    assert world.created == 1


def test_who_waits_for_the_lease_takes_over_and_can_be_drained(world: World) -> None:
    world.job("a")
    with world.open() as holder:
        store = holder.store()
        store.acquire("another", "apply")
        with world.open() as project:
            project.pin()
            engine = Engine(project=project, consent=Consent(), hook=world.hook)

            async def both() -> None:
                async with anyio.create_task_group() as group:
                    group.start_soon(engine.run)
                    await anyio.wait_all_tasks_blocked()
                    engine.drain()

            anyio.run(both)
        store.release()
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert world.texts() == {"a": "SAY A"}


def test_who_loses_the_lease_while_it_rests_notices_and_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beating, "HEARTBEAT", 0.02)
    world.job("a")
    told: list[bool] = []

    def take_away(_: Engine) -> None:
        with world.open() as other, other.reader() as reader:
            held = reader.lease()
            assert held is not None
            other.unlock(held)

    def note(engine: Engine) -> None:
        engine.leads = told.append
        engine.replan()

    watch(world, Consent(), note, take_away)
    assert told == [False, True, False]


def test_what_nothing_needs_is_deleted_now_and_then(world: World) -> None:
    day = 86_400.0
    kept = WatchSettings(gc_every=day, keep=2 * day)
    world.settings = world.settings.model_copy(update={"watch": kept})
    consent = Consent(approve="all", max_cost=Decimal(1))
    world.job("a")
    watch(world, consent)
    assert files(world) == 1, "its result is too young"
    world.clock.advance(3 * day)
    watch(world, consent)
    assert files(world) == 0
    assert world.texts() == {"a": "SAY A"}
    # Once a day, whoever is in charge by then.
    before = journal(world)
    watch(world, consent)
    assert journal(world) == before


def test_it_wakes_by_itself_to_delete_what_nothing_needs(world: World) -> None:
    world.job("a")
    waits: list[float | None] = []
    with world.open() as project:
        project.pin()
        engine = Engine(project=project, consent=Consent(), hook=world.hook)

        def idle(until: float | None) -> None:
            waits.append(until)
            if len(waits) == 3:
                engine.drain()

        engine.idle = idle
        began = world.clock.now()
        anyio.run(engine.run)
    assert waits == [began + 86_400.0, began + 2 * 86_400.0, began + 3 * 86_400.0]


def test_nothing_is_deleted_where_that_is_left_to_people(world: World) -> None:
    world.settings = world.settings.model_copy(update={"watch": WatchSettings(gc_every=0)})
    world.job("a")
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    world.clock.advance(9 * 86_400.0)
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert files(world) == 1


def files(world: World) -> int:
    """Return how many files are at the provider."""
    count: int = world.app.state.engine.database.count_files(world.clock.now())
    return count


def journal(world: World) -> int:
    with world.open() as project, project.reader() as reader:
        count: int = reader.db.execute("SELECT COUNT(*) FROM journal").fetchone()[0]
        return count


def test_a_plan_that_is_replaced_while_somebody_approves_it_is_told(world: World) -> None:
    world.job("a")
    watch(world, Consent())
    pending = Pending(world.state)
    (saved,) = pending
    world.job("a", "b")
    watch(world, Consent())
    with pytest.raises(StalePlanError, match="does not wait any more"):
        pending.approve(saved)
    assert len(list(pending.folder.iterdir())) == 1, "no mark is left"


def test_a_plan_that_waits_counts_nothing_that_is_done_and_keeps_its_id(world: World) -> None:
    """What was agreed to before is under way when it is made, and at its end later."""
    world.job("a")
    watch(world, Consent())
    (saved,) = Pending(world.state)
    Pending(world.state).approve(saved)
    world.job("a", "b")
    watch(world, Consent())
    assert world.texts() == {"a": "SAY A"}
    (waits,) = Pending(world.state)
    assert (waits.plan.requests, waits.plan.counts[Kind.SUBMIT]) == (1, 1)
    asked = [
        event.message
        for event in world.hook.events
        if isinstance(event, ConditionChanged) and event.type == "Consented"
    ]
    asked = [message for message in asked if "m.j: 1 to submit" in message]
    ids = {message.rpartition("approve ")[2] for message in asked[1:]}
    assert ids == {f"{waits.plan.id[:12]}`."}


def test_a_plan_that_is_approved_while_it_becomes_cheaper_is_done(world: World) -> None:
    world.job("a", "b")
    watch(world, Consent())
    pending = Pending(world.state)
    (dear,) = pending
    cheap = replace(dear.header, ceiling=dear.header.ceiling and dear.header.ceiling / 2)
    write_plan(dear.path, cheap, read_rows(dear))
    with pytest.raises(StalePlanError):
        pending.approve(dear)
    pending.approve(read_plan(dear.path))
    assert pending.approved()


class Racing(Pending):
    """Somebody approves a plan right after it was looked whether they have."""

    def is_approved(self, saved: SavedPlan) -> bool:
        before = super().is_approved(saved)
        if not before and saved.path.exists():
            Pending(self.folder.parent).approve(saved)
        return before


def test_a_plan_that_is_approved_in_the_moment_in_which_it_is_replaced_is_done(
    world: World,
) -> None:
    """Whoever was told that it is agreed to can rely on it."""
    world.job("a")
    watch(world, Consent())
    Racing(world.state).withdraw()
    (saved,) = Pending(world.state).approved()
    assert saved.plan.requests == 1
    watch(world, Consent())
    assert world.texts() == {"a": "SAY A"}


def test_a_plan_that_is_approved_twice_is_done_once(world: World) -> None:
    world.job("a")

    def approve(engine: Engine) -> None:
        for saved in Pending(world.state):
            Pending(world.state).approve(saved)
            Pending(world.state).approve(saved)
        engine.replan()

    watch(world, Consent(), approve, approve)
    assert world.created == 1


def test_what_a_crash_left_among_the_pending_plans_is_removed(world: World) -> None:
    world.job("a")
    watch(world, Consent())
    pending = Pending(world.state)
    for name in ("gone.approved", "half.plan", "gone.half", ".b.plan.7.part"):
        (pending.folder / name).write_text("x")
        os.utime(pending.folder / name, (0, 0))
    (pending.folder / "now.half").write_text("somebody is agreeing right now")
    world.job("a", "b")
    watch(world, Consent())
    assert sorted(path.suffix for path in pending.folder.iterdir()) == [".half", ".plan"]
    assert [saved.plan.requests for saved in pending] == [2]


def test_a_disk_that_is_full_takes_no_consent(world: World) -> None:
    world.job("a")
    watch(world, Consent())
    pending = Pending(world.state)
    (saved,) = pending
    disk = FullDisk()
    disk.fill()
    try:
        with pytest.raises(StateError, match="cannot be written"):
            pending.approve(saved)
    finally:
        disk.empty()
    assert not pending.is_approved(saved)


def test_specs_that_are_gone_altogether_forget_nothing(world: World) -> None:
    """A folder that is not mounted looks like one from which everything was removed."""
    prune = Consent(approve="all", max_cost=Decimal(1), prune=True)
    world.job("a", "b")
    watch(world, prune)
    world.remove("m")
    watch(world, prune)
    assert conditions(world)[None, "Consented"] == ("False", "NothingLeft")
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}

    def approve(engine: Engine) -> None:
        (saved,) = Pending(world.state)
        Pending(world.state).approve(saved)
        engine.replan()

    watch(world, prune, approve)
    assert world.items() == {}


def test_a_job_that_is_too_dear_for_its_own_budget_holds_up_no_other(world: World) -> None:
    world.job("a", max_cost="0.0000001")
    world.job("b", name="n")
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert world.texts("n.j") == {"b": "SAY B"}
    assert conditions(world)[None, "Consented"] == ("False", "MaxCost")
    assert world.created == 1


def test_what_is_under_way_counts_before_it_is_paid(world: World) -> None:
    world.job("a")
    with world.open() as project:
        cost = project.plan().cost_at_most
    grown: list[bool] = []

    def grow(event: object) -> None:
        if type(event).__name__ == "BatchSubmitted" and not grown:
            grown.append(True)
            world.job("a", "b")

    world.hook.react = grow
    consent = Consent(approve="all", max_cost=cost * Decimal("1.5"))
    with world.open() as project:
        project.pin()
        engine = Engine(project=project, consent=consent, hook=world.hook)

        def submitted(event: object) -> None:
            if type(event).__name__ == "BatchSubmitted":
                engine.drain()

        world.hook.react = submitted
        anyio.run(engine.run)
    assert world.created == 1
    world.hook.react = lambda _: None
    world.job("a", "b")
    held: list[str] = []
    with world.open() as project:
        project.pin()
        engine = Engine(project=project, consent=consent, hook=world.hook)
        engine.planned = lambda _plan, verdict: held.extend(one.code for one in verdict.held)
        rests: list[float | None] = []

        def idle(until: float | None) -> None:
            rests.append(until)
            if world.created == 2 or len(rests) > 3:
                engine.drain()

        engine.idle = idle
        anyio.run(engine.run)
    # It waits for the first to be at its end, which has cost far less than it might have.
    assert held == ["MAX_COST"]
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert len(rests) == 1, "it is planned anew at once"


@pytest.mark.damages_state  # it is begun, and no more
def test_a_state_that_cannot_be_opened_is_told_in_a_sentence(world: World) -> None:
    world.job("a")
    disk = FullDisk()
    with world.open() as project:
        project.pin()
        engine = Engine(project=project, consent=Consent(), hook=world.hook)
        disk.fill()
        try:
            with pytest.raises(StateError, match="cannot be used"):
                anyio.run(engine.run)
        finally:
            disk.empty()


def test_a_key_that_is_missing_is_told_before_anybody_agrees(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.job("a")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    watch(world, Consent())
    assert "No key for provider 'openai': set OPENAI_API_KEY" in message(world, "Consented")


def test_what_a_guard_asks_for_is_told_with_the_way_to_say_it(world: World) -> None:
    world.job("a")
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    world.job()
    watch(world, Consent(approve="all", max_cost=Decimal(1)))
    assert "Such options are those of `batchspec apply`: stop watching" in message(world, "Planned")
    assert world.texts() == {"a": "SAY A"}


def message(world: World, kind: str) -> str:
    with world.open() as project, project.reader() as reader:
        (found,) = [c.message for c in reader.conditions() if c.type == kind]
    return found


ALL = Consent(approve="all", max_cost=Decimal(1))
PRUNE = Consent(approve="all", max_cost=Decimal(1), prune=True)


def test_a_spec_that_is_gone_by_mistake_and_put_back_costs_nothing(world: World) -> None:
    world.job("a")
    world.job("b", name="n")
    watch(world, PRUNE)
    assert world.created == 1
    lines = world.lines
    world.remove("n")
    watch(world, PRUNE)
    world.job("b", name="n")
    watch(world, PRUNE)
    assert world.texts("n.j") == {"b": "SAY B"}
    assert world.lines == lines


@pytest.mark.parametrize("prune", [True, False])
def test_a_job_that_is_renamed_costs_nothing(world: World, *, prune: bool) -> None:
    world.job("a", "b")
    watch(world, ALL)
    world.job("a", "b", variable="renamed")
    watch(world, PRUNE if prune else ALL)
    assert world.texts("m.renamed") == {"a": "SAY A", "b": "SAY B"}
    assert world.created == 1
    assert conditions(world)[None, "Consented"] == ("True", "NothingPending"), "nothing is gone"
