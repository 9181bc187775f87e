"""`refresh`: look at every open batch once, read what has ended, send and pay nothing."""

from collections.abc import Sequence

import pytest
from worlds import Fault, failure

from batchspec.cli.views.refresh import told
from batchspec.errors import ExitCode, ProviderError, RefusedError, StateError, UsageError
from batchspec.project import Refreshed
from batchspec.simulator import Pace
from batchspec.state.events import BatchCollected, BatchObserved, CancelWanted
from drift.conftest import Accounts

BATCH, LIST, CREATE = ("GET", "/batches/batch_.*"), ("GET", "/batches"), ("POST", "/batches")


def refresh(world: Accounts, rebind: Sequence[str] = ()) -> Refreshed:
    """Refresh as a process of its own would, and check the state afterwards."""
    try:
        with world.open() as project:
            return project.refresh(rebind=rebind, hook=world.hook)
    finally:
        world.check()


def sentences(found: Refreshed) -> list[str]:
    return [told(one) for one in found.batches]


def posts(world: Accounts) -> int:
    return sum(method == "POST" for method, _ in world.wire.calls)


def test_without_a_state_there_is_nothing_to_refresh(world: Accounts) -> None:
    with pytest.raises(StateError, match="no state"):
        refresh(world)
    assert not world.state.exists()


def test_with_nothing_open_nobody_is_asked(world: Accounts) -> None:
    world.job("a")
    world.apply()
    before = len(world.wire.calls)
    found = refresh(world)
    assert (found.batches, found.exit_code) == ((), ExitCode.DONE)
    assert len(world.wire.calls) == before


def test_a_batch_that_goes_on_is_looked_at_once_whatever_the_time(world: Accounts) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    before, now = len(world.wire.calls), world.clock()
    found = refresh(world)
    assert found.exit_code == ExitCode.IN_PROGRESS
    assert sentences(found) == ["is validating, 0 of 2 requests done"]
    asked = [("GET", f"/batches/{world.remote()[0]['id']}"), ("GET", "/batches")]
    assert world.wire.calls[before:] == asked, "how far it is, and whether it has a double"
    assert world.clock() == now, "it waited"
    assert isinstance(world.hook.events[-1], BatchObserved)


def test_what_has_ended_is_read(world: Accounts) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.clock.advance(60)
    before = posts(world)
    found = refresh(world)
    assert found.exit_code == ExitCode.DONE
    assert sentences(found) == ["has ended as completed; the results of its 2 requests are read"]
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert posts(world) == before
    assert not world.plan().can_apply


def test_nothing_is_packed_submitted_or_run(world: Accounts) -> None:
    """Rows that expired wait for an apply, and so do the calls of tools."""
    world.spec("""
        ran = []

        @tool
        def look() -> str:
            '''Look.'''
            raise SystemExit("it ran")

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="go",
                tools=[look])
    """)
    world.model = lambda _: {
        "role": "assistant",
        "tool_calls": [{"name": "look", "arguments": {}}],
    }
    world.apply(detach=True)
    world.clock.advance(60)
    before = posts(world)
    assert refresh(world).exit_code == ExitCode.DONE
    with world.open() as project:
        (job,) = project.status().jobs
    assert job.phases == {"tools": 1}
    assert posts(world) == before


def test_expired_rows_wait_for_an_apply(world: Accounts) -> None:
    world.server.pace = Pace(validating=5, in_progress=200_000, finalizing=2, cancelling=5)
    world.job("a", "b")
    world.apply(detach=True)
    world.clock.advance(86_400 + 60)
    found = refresh(world)
    assert (found.exit_code, world.created) == (ExitCode.DONE, 1)
    assert "has ended as expired" in sentences(found)[0]
    world.clock.advance(7200)
    assert world.plan().requests == 2
    world.server.pace = Pace(validating=5, in_progress=20, finalizing=2, cancelling=5)
    assert world.apply().done


def test_nothing_is_cancelled(world: Accounts) -> None:
    """A batch that no row wants is left as it is until an apply."""
    world.job("a")
    world.apply(detach=True)
    with world.open() as project:
        project.store().db.execute("DELETE FROM items")
    before = posts(world)
    found = refresh(world)
    assert found.exit_code == ExitCode.IN_PROGRESS
    assert found.batches[0].after.cancel_at is None
    assert posts(world) == before


def test_a_batch_that_is_to_be_stopped_is_looked_at_as_well(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    with world.open() as project:
        store = project.store()
        store.acquire("test", "test")
        (batch,) = store.open_batches()
        store.commit(CancelWanted(id=batch.id, at=1.0, reason="requested"))
    world.clock.advance(7)
    found = refresh(world)
    assert sentences(found) == ["is in_progress, 0 of 1 request done"]
    assert not any("cancel" in path for _, path in world.wire.calls)
    assert found.batches[0].after.cancel_at == 1


def lose_the_create(world: Accounts) -> None:
    world.job("a", "b")
    world.wire.faults = [
        Fault(*CREATE, after=True),
        Fault(*LIST, status=401, body=failure("Bad key."), times=None),
    ]
    with pytest.raises(ProviderError, match="refused the key"):
        world.apply()


def test_an_unknown_outcome_is_resolved(world: Accounts) -> None:
    lose_the_create(world)
    with pytest.raises(ProviderError, match="refused the key"):
        refresh(world)
    world.wire.faults = []
    found = refresh(world)
    assert sentences(found) == ["was found again and is validating, 0 of 2 requests done"]
    assert found.exit_code == ExitCode.IN_PROGRESS
    assert world.created == 1


def test_an_unknown_outcome_that_is_not_found_yet_stays_unknown(world: Accounts) -> None:
    world.job("a")
    world.wire.faults = [
        Fault(*CREATE),
        Fault(*LIST, status=401, body=failure("Bad key."), times=None),
    ]
    with pytest.raises(ProviderError):
        world.apply()
    world.wire.faults = []
    now = world.clock()
    (sentence,) = sentences(refresh(world))
    assert "has an unknown outcome since" in sentence
    assert world.clock() == now
    world.clock.advance(120)
    found = refresh(world)
    assert "is not at the provider; its 1 request wait" in sentences(found)[0]
    assert world.created == 0


@pytest.mark.parametrize("status", [500, 429])
def test_a_look_that_fails_is_told_and_not_repeated(world: Accounts, status: int) -> None:
    world.job("a")
    world.apply(detach=True)
    world.wire.faults = [Fault(*BATCH, status=status, body=failure("Oops."), times=None)]
    before = len(world.wire.calls)
    found = refresh(world)
    assert found.exit_code == ExitCode.IN_PROGRESS
    assert "Oops." in sentences(found)[0]
    assert len(world.wire.calls) == before + 1


def test_results_of_specs_that_do_not_load_wait(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(60)
    world.spec("this is no Python", "m")
    found = refresh(world)
    assert "its results are not read yet" in sentences(found)[0]
    assert found.exit_code == ExitCode.IN_PROGRESS
    assert any("do not load" in warning for warning in world.hook.warnings)
    world.job("a")
    assert refresh(world).exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A"}


def test_drift_is_recorded_and_then_no_drift_any_more(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.server.cancel_batches()
    world.clock.advance(10)
    with world.open() as project:
        assert [f.code for f in project.drift().findings] == ["BATCH_CANCELLED_REMOTELY"]
    refresh(world)
    assert any(isinstance(event, BatchCollected) for event in world.hook.events)
    with world.open() as project:
        assert project.drift().findings == []
    assert world.outcomes() == {"a": "cancelled"}


# --- accounts


def test_failure_25_a_refresh_with_another_account_is_refused(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.key = "other"
    before = len(world.asked)
    with pytest.raises(RefusedError, match="1 batch is open at another account"):
        refresh(world)
    assert len(world.asked) == before


def test_a_rotated_key_of_the_same_account_is_bound_anew(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.key = "rotated"
    with pytest.raises(RefusedError):
        world.apply()
    found = refresh(world, ["openai"])
    assert found.exit_code == ExitCode.IN_PROGRESS
    with world.open() as project, project.reader() as reader:
        assert reader.accounts() == {"openai": "http://simulator/v1 key rotated"}
        assert {b.account for b in reader.batches()} == {"http://simulator/v1 key rotated"}
    assert world.apply().done
    assert world.created == 1


def test_a_key_that_knows_no_batch_is_not_bound(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.key = "other"
    with pytest.raises(RefusedError, match=r"knows none of its batches \(batch_"):
        refresh(world, ["openai"])
    with world.open() as project, project.reader() as reader:
        assert reader.accounts() == {"openai": "http://simulator/v1 key first"}
    world.key = "first"
    assert world.apply().done


def test_a_key_is_tried_with_older_batches_where_no_open_one_has_an_id(world: Accounts) -> None:
    world.job("a")
    world.apply()
    world.job("a", "b")
    world.wire.faults = [
        Fault(*CREATE, after=True),
        Fault(*LIST, status=401, body=failure("Bad key."), times=None),
    ]
    with pytest.raises(ProviderError):
        world.apply()
    world.wire.faults = []
    world.key = "rotated"
    found = refresh(world, ["openai"])
    assert "was found again" in sentences(found)[0]


def test_a_key_that_cannot_be_tried_is_not_bound(world: Accounts) -> None:
    lose_the_create(world)
    world.wire.faults = []
    world.key = "rotated"
    with pytest.raises(RefusedError, match="no batch of it has an id yet"):
        refresh(world, ["openai"])


def test_a_key_that_is_refused_is_not_bound(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.key = "rotated"
    world.wire.faults = [Fault(*BATCH, status=401, body=failure("Bad key."))]
    with pytest.raises(ProviderError, match="refused the key"):
        refresh(world, ["openai"])


def test_a_provider_that_is_not_there_is_a_usage_error(world: Accounts) -> None:
    world.job("a")
    world.apply()
    with pytest.raises(UsageError, match="There is no provider 'opanai'"):
        refresh(world, ["opanai"])


def test_binding_the_same_key_again_does_nothing(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    with world.open() as project, project.reader() as reader:
        before = len([1 for _, _, kind, _ in reader.journal() if kind == "AccountBound"])
    refresh(world, ["openai"])
    with world.open() as project, project.reader() as reader:
        assert len([1 for _, _, k, _ in reader.journal() if k == "AccountBound"]) == before


def test_a_provider_that_left_the_configuration_is_told_once(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    with world.open() as project:
        project.providers.pop("openai")
        found = project.refresh(hook=world.hook)
    assert [one.looked for one in found.batches] == [False]
    assert world.hook.warnings == ["[providers.openai] is not in the configuration any more."]
