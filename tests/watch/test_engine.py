"""The engine: what it does by itself, what it leaves, and what it goes on with."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from batchspec.plan.consent import Consent
from batchspec.project.pending import Pending
from batchspec.watch.engine import Engine
from tests.worlds import Fault, World, failure

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
