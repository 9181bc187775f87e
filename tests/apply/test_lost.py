"""What the provider does not have any more: never at once lost, and never paid again by itself."""

import json
from contextlib import nullcontext

import anyio
import pytest
from worlds import Fault, World, failure

from batchspec.errors import ExitCode, ProviderError
from batchspec.ids import FileId
from batchspec.plan.changes import Kind
from batchspec.state.events import BatchLost

LIST, BATCH = ("GET", "/batches"), ("GET", "/batches/batch_[^/]*")
CONTENT, FILE = ("GET", "/files/.*/content"), ("GET", "/files/[^/]*")
EMPTY = b'{"object": "list", "data": [], "has_more": false}'
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


@pytest.mark.parametrize("known", [True, False], ids=["batch known", "batch gone too"])
def test_failure_27_results_that_are_gone_after_retention_are_lost(
    world: World, known: bool
) -> None:
    """They were billed; a person decides whether they are paid once more."""
    world.job("a")
    world.hook.react = die_when_ended
    with pytest.raises(KilledError):
        world.apply()
    world.hook.react = lambda _: None
    world.clock.advance(31 * 86_400)
    if not known:
        world.wire.faults.append(Fault(*BATCH, status=404, body=NO_BATCH, times=None))
        world.wire.faults.append(Fault(*LIST, rewrite=lambda _: EMPTY, times=None))
    began = world.clock()
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.clock() - began > 120, "not at once"
    assert world.outcomes() == {"a": "lost"}
    assert "was probably billed" in (world.items()["a"].reason or "")
    assert reasons(world) == [(Kind.RESUBMIT, "OUTPUT_GONE", 1)]
    assert world.created == 1
    world.wire.faults.clear()
    assert world.apply().exit_code == ExitCode.DONE


class KilledError(Exception):
    pass


def die_when_ended(event: object) -> None:
    if getattr(event, "ended", False):
        raise KilledError


def delete(world: World, file: str) -> None:
    """Delete a file at the provider, as a person may."""

    async def call() -> None:
        client = world.client()
        await client.delete_file(FileId(file))
        await client.close()

    anyio.run(call)


def test_a_result_file_somebody_deleted_is_asked_for_over_minutes(world: World) -> None:
    """A file can be late; the batch, which is still there, shows that the account is right."""
    world.job("a", "b")
    world.apply(detach=True)
    world.clock.advance(500)
    (batch,) = world.remote()
    delete(world, batch["output_file_id"])
    began = world.clock()
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.wire.count(*CONTENT) == LOOKS
    assert world.clock() - began > 120
    assert world.outcomes() == {"a": "lost", "b": "lost"}
    assert reasons(world) == [(Kind.RESUBMIT, "OUTPUT_GONE", 2)]


@pytest.mark.parametrize("runs", [1, 3])
def test_results_the_provider_has_and_does_not_hand_out_are_waited_for(
    world: World, runs: int
) -> None:
    """They are paid. A run asks for minutes and says so; other batches go on meanwhile."""
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(500)
    (batch,) = world.remote()
    path = f"/files/{batch['output_file_id']}/content"
    world.wire.faults.append(Fault("GET", path, status=404, body=NO_FILE, times=LOOKS * runs))
    world.job("a", "b")
    for _ in range(runs):
        began = world.clock()
        with pytest.raises(ProviderError, match=r"cannot be read now.*Nothing is lost"):
            world.apply()
        assert world.clock() - began > 120
        assert world.outcomes() == {"a": None, "b": "succeeded"}
        world.open().state.gc()
    assert world.wire.count("DELETE", path.removesuffix("/content")) == 0
    assert world.apply().exit_code == ExitCode.DONE
    assert world.outcomes() == {"a": "succeeded", "b": "succeeded"}
    assert (world.created, world.lines) == (2, 2)


@pytest.mark.parametrize(("status", "error"), [(503, None), (401, ProviderError)], ids=str)
def test_results_are_not_lost_while_nobody_says_what_became_of_them(
    world: World, status: int, error: type[Exception] | None
) -> None:
    world.job("a")
    world.wire.faults += [
        Fault(*CONTENT, status=404, body=NO_FILE, times=LOOKS),
        Fault(*FILE, status=status, body=failure("No."), times=1),
    ]
    with pytest.raises(error) if error else nullcontext():
        world.apply()
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.outcomes(), world.created) == ({"a": "succeeded"}, 1)


def test_results_that_were_not_read_are_never_deleted(world: World) -> None:
    """What seemed to be gone may be readable another day, by a person if not by us."""
    world.job("a")
    world.wire.faults += [
        Fault(*CONTENT, status=404, body=NO_FILE, times=LOOKS),
        Fault(*FILE, status=404, body=NO_FILE, times=1),
    ]
    world.apply()
    assert world.outcomes() == {"a": "lost"}
    (unread,) = [batch["output_file_id"] for batch in world.remote()]
    world.apply()
    assert world.outcomes() == {"a": "succeeded"}
    read, _ = [batch["output_file_id"] for batch in world.remote()]
    with world.open() as project:
        assert project.state.gc().results == 1
    assert world.wire.count("DELETE", f"/files/{unread}") == 0
    assert world.wire.count("DELETE", f"/files/{read}") == 1


def test_a_page_in_place_of_results_leads_to_no_deletion(world: World) -> None:
    world.job("a")
    page = Fault(*CONTENT, rewrite=lambda _: b"<html>Sign in</html>", times=LOOKS + 1)
    world.wire.faults.append(page)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 2
    with world.open() as project:
        assert project.state.gc().results == 1


def test_what_the_other_file_has_is_read(world: World) -> None:
    """Of both result files one is gone: rows in the other have their outcomes."""
    world.model = _refuse
    world.job("a", "bad")
    world.apply(detach=True)
    world.clock.advance(500)
    (batch,) = world.remote()
    delete(world, batch["output_file_id"])
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
                Fault(*FILE, status=404, body=NO_FILE, times=None),
                Fault(*LIST, rewrite=lambda _: EMPTY, times=None),
            ]
        )
        if getattr(event, "ended", False)
        else None
    )
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert reasons(world) == [(Kind.RESUBMIT, "BATCH_GONE", 1)]
