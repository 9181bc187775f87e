"""What the provider does not have any more: never at once lost, and never paid again by itself."""

import json

import pytest
from worlds import Fault, World, failure

from batchspec.errors import ExitCode, ProviderError
from batchspec.plan.changes import Kind
from batchspec.state.events import BatchLost

LIST, BATCH = ("GET", "/batches"), ("GET", "/batches/batch_[^/]*")
CONTENT = ("GET", "/files/.*/content")
NO_BATCH, NO_FILE = failure("No batch found."), failure("No such file")
LOOKS = 6


def reasons(world: World) -> list[tuple[Kind, str, int]]:
    return [(r.kind, r.code, r.rows) for job in world.plan().jobs for r in job.reasons]


def test_a_batch_the_provider_forgot_is_lost_after_minutes(world: World) -> None:
    """Its rows end, others go on, and the next plan asks a person before they are paid again."""
    world.job("a", "b")
    world.apply(detach=True)
    (gone,) = [batch["id"] for batch in world.remote()]
    world.job("a", "b", "c")
    world.wire.faults.append(
        Fault("GET", f"/batches/{gone}", status=404, body=NO_BATCH, times=None)
    )
    world.wire.faults.append(Fault(*LIST, rewrite=lambda body: without(body, gone), times=None))
    began = world.clock()
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.clock() - began > 120, "not at once"
    assert world.outcomes() == {"a": "lost", "b": "lost", "c": "succeeded"}
    assert "account and project" in (world.items()["a"].reason or "")
    assert reasons(world) == [(Kind.RESUBMIT, "BATCH_GONE", 2)]
    assert world.created == 2, "nothing is paid again by itself"
    assert world.apply().exit_code == ExitCode.DONE
    assert set(world.outcomes().values()) == {"succeeded"}


def without(body: bytes, batch: str) -> bytes:
    page = json.loads(body)
    page["data"] = [entry for entry in page["data"] if entry["id"] != batch]
    return json.dumps(page).encode()


def test_a_batch_that_is_found_again_was_not_lost(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    world.wire.faults.append(Fault(*BATCH, status=404, body=NO_BATCH, times=LOOKS - 1))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_batch_that_is_in_the_list_is_not_lost(world: World) -> None:
    """Whatever a look at it alone says."""
    world.job("a")
    world.apply(detach=True)
    world.wire.faults.append(Fault(*BATCH, status=404, body=NO_BATCH, times=LOOKS))
    with pytest.raises(ProviderError, match="account and project"):
        world.apply()
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


@pytest.mark.parametrize(("status", "told"), [(401, "refused the key"), (404, "does not know")])
def test_nothing_is_lost_while_the_account_cannot_be_looked_at(
    world: World, status: int, told: str
) -> None:
    """A key of another project, or an address where there is no such API."""
    world.job("a")
    world.apply(detach=True)
    world.wire.faults += [
        Fault(*BATCH, status=404, body=NO_BATCH, times=LOOKS),
        Fault(*LIST, status=status, body=failure("No."), times=1),
    ]
    with pytest.raises(ProviderError, match=told):
        world.apply()
    assert not any(isinstance(event, BatchLost) for event in world.hook.events)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_list_that_fails_in_passing_is_asked_again(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    world.wire.faults += [
        Fault(*BATCH, status=404, body=NO_BATCH, times=LOOKS + 1),
        Fault(*LIST, status=503, body={}, times=1),
        Fault(*LIST, rewrite=lambda _: b'{"object": "list", "data": [], "has_more": false}'),
    ]
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "lost"}


def test_an_old_answer_outlives_a_lost_batch(world: World) -> None:
    world.job("a")
    world.apply()
    world.apply(replace=["m.j"], detach=True)
    world.wire.faults += [
        Fault(*BATCH, status=404, body=NO_BATCH, times=None),
        Fault(*LIST, rewrite=lambda _: b'{"data": [], "has_more": false}', times=None),
    ]
    world.apply()
    item = world.items()["a"]
    assert (item.outcome, item.text, item.previous) == ("succeeded", "SAY A", True)


def test_failure_27_results_that_are_gone_after_retention_are_lost(world: World) -> None:
    """They were billed; a person decides whether they are paid once more."""
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(500)
    world.wire.faults.append(Fault(*CONTENT, status=503, body={}, times=1))
    world.wire.faults.append(Fault(*CONTENT, status=404, body=NO_FILE, times=None))
    world.hook.react = lambda _: None
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "lost"}
    assert "was probably billed" in (world.items()["a"].reason or "")
    assert reasons(world) == [(Kind.RESUBMIT, "OUTPUT_GONE", 1)]
    assert world.created == 1
    world.wire.faults.clear()
    assert world.apply().exit_code == ExitCode.DONE


def test_a_result_file_somebody_deleted_is_asked_for_over_minutes(world: World) -> None:
    """A file can be late; the batch, which is still there, shows that the account is right."""
    world.job("a", "b")
    world.wire.faults.append(Fault(*CONTENT, status=404, body=NO_FILE, times=LOOKS))
    began = world.clock()
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.wire.count(*CONTENT) == LOOKS
    assert world.clock() - began > 120
    assert world.outcomes() == {"a": "lost", "b": "lost"}


def test_what_the_other_file_has_is_read(world: World) -> None:
    """Of both result files one is gone: rows in the other have their outcomes."""
    world.model = _refuse
    world.job("a", "bad")
    world.apply(detach=True)
    world.clock.advance(500)
    (batch,) = world.remote()
    gone = f"/files/{batch['output_file_id']}/content"
    world.wire.faults.append(Fault("GET", gone, status=404, body=NO_FILE, times=None))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "lost", "bad": "failed"}


def _refuse(body: dict[str, object]) -> str:
    from batchspec.simulator import HTTPFailure  # noqa: PLC0415 - one test needs it

    if "bad" in str(body["messages"]):
        raise HTTPFailure(400, "Bad row.")
    return "fine"


def test_files_of_a_batch_that_is_gone_too_are_lost_with_it(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*CONTENT, status=404, body=NO_FILE, times=None))
    world.hook.react = lambda event: (
        world.wire.faults.extend(
            [
                Fault(*BATCH, status=404, body=NO_BATCH, times=None),
                Fault(*LIST, rewrite=lambda _: b'{"data": [], "has_more": false}', times=None),
            ]
        )
        if getattr(event, "ended", False)
        else None
    )
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert reasons(world) == [(Kind.RESUBMIT, "BATCH_GONE", 1)]
