"""What a plan shows of what became of batches at the provider."""

import json
import threading
from typing import Any

import anyio
import pytest
from worlds import Fault, failure, rewriting_json

from batchspec.cli.views.documents import plan_document
from batchspec.cli.views.plan import plan_lines
from batchspec.errors import ExitCode
from batchspec.plan.changes import Kind, Plan
from batchspec.project import looking
from batchspec.simulator import Pace
from drift.conftest import Accounts, MakeWorld

BATCH, LIST, FILE = ("GET", "/batches/batch_.*"), ("GET", "/batches"), ("GET", "/files/[^/]*")
CREATE = ("POST", "/batches")


def shown(plan: Plan) -> str:
    return "\n".join(line.plain for line in plan_lines(plan))


def codes(plan: Plan) -> list[str]:
    return [finding.code for finding in plan.findings]


def sent(world: Accounts) -> list[tuple[str, str]]:
    return [call for call in world.wire.calls if call[0] != "GET"]


def test_without_open_batches_there_is_no_network(world: Accounts) -> None:
    world.job("a")
    world.plan()
    world.apply()
    before = len(world.wire.calls)
    assert not world.plan().can_apply
    assert len(world.wire.calls) == before


def test_normal_progress_is_no_drift(world: Accounts) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    for _ in range(5):
        plan = world.plan()
        assert (plan.findings, plan.warnings) == ((), ())
        assert plan.counts == {Kind.CONTINUE: 2}
        world.clock.advance(7)


def test_a_plan_only_reads(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    before = sent(world)
    with world.open() as project, project.reader() as reader:
        serial = reader.serial()
    world.server.cancel_batches()
    plan = world.plan()
    assert plan.can_apply
    assert plan.serial == serial
    assert sent(world) == before
    with world.open() as project, project.reader() as reader:
        assert reader.serial() == serial
        assert reader.lease() is None


def test_with_no_refresh_there_is_no_network(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.server.cancel_batches()
    before = len(world.wire.calls)
    assert world.plan(refresh=False).findings == ()
    assert len(world.wire.calls) == before


def test_an_expired_batch_says_how_many_go_again_and_what_that_costs(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    world.server.pace = Pace(validating=5, in_progress=200_000, finalizing=2, cancelling=5)
    world.job("a", "b", "c", "d")
    world.apply(detach=True)
    world.clock.advance(86_400 + 60)
    answered = world.remote()[0]["request_counts"]["completed"]
    assert world.remote()[0]["status"] == "expired"
    assert answered == 1
    plan = world.plan()
    assert codes(plan) == ["BATCH_EXPIRED"]
    assert plan.counts == {Kind.CONTINUE: 1, Kind.DRIFT: 3}
    assert plan.requests == 3
    assert plan.cost > 0
    text = shown(plan)
    assert "has expired: 1 of 4 requests answered, as the provider counts; 3 requests go" in text
    assert "  ! m.j" in text
    world.server.pace = Pace(validating=5, in_progress=20, finalizing=2, cancelling=5)
    assert world.apply().done
    assert world.lines == 4


def test_a_batch_cancelled_at_the_provider(world: Accounts) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.server.cancel_batches()
    plan = world.plan()
    assert codes(plan) == ["BATCH_CANCELLED_REMOTELY"]
    assert "is being cancelled at the provider" in shown(plan)
    world.clock.advance(10)
    plan = world.plan()
    assert "was cancelled at the provider" in shown(plan)
    assert plan.counts == {Kind.DRIFT: 2}
    assert plan.requests == 0
    world.apply()
    assert set(world.outcomes().values()) == {"cancelled"}
    with world.open() as project, project.reader() as reader:
        kinds = [kind for _, _, kind, _ in reader.journal()]
    assert kinds.count("PlanAgreed") == 1, "going on is nothing that is agreed to"
    assert world.plan().counts == {Kind.RESUBMIT: 2}


def test_a_batch_that_failed(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    errors = {"object": "list", "data": [{"code": "bad", "message": "No.", "line": 1}]}
    world.wire.faults = [Fault(*BATCH, rewrite=rewriting_json(status="failed", errors=errors))]
    plan = world.plan()
    assert codes(plan) == ["BATCH_FAILED"]
    assert "has failed (bad: No. (line 1))" in shown(plan)


def test_a_batch_that_is_gone_at_the_provider(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.wire.faults = [Fault(*BATCH, status=404, body=failure("No batch found."))]
    plan = world.plan()
    assert codes(plan) == ["BATCH_GONE"]
    assert "is not known to the provider any more (HTTP 404: No batch found.)" in shown(plan)
    assert plan.requests == 0


def test_failure_27_results_that_were_deleted_at_the_provider(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(60)
    assert codes(world.plan()) == []
    world.wire.faults = [Fault(*FILE, status=404, body=failure("No such File object."))]
    plan = world.plan()
    assert codes(plan) == ["OUTPUT_GONE"]
    assert "its results are gone at the provider" in shown(plan)


def test_failure_27_results_that_are_deleted_soon_are_warned_of(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(25 * 86_400)
    (warning,) = world.plan().warnings
    assert world.plan(refresh=False).warnings == (warning,)
    with world.open() as project:
        assert warning in project.status().waiting
    assert "deletes them in about 5 days" in warning
    assert "batchspec refresh" in warning


def test_the_tag_of_another_state(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    metadata = {"lineage": "0198f1c2-9999"}
    world.wire.faults = [Fault(*BATCH, rewrite=rewriting_json(metadata=metadata))]
    plan = world.plan()
    assert codes(plan) == ["FOREIGN_LINEAGE"]
    assert "the tag of another state (lineage …1c2-9999)" in shown(plan)
    assert plan.counts == {Kind.CONTINUE: 1}


def test_a_switched_account_is_told_and_not_asked(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.key = "other"
    before = len(world.asked)
    plan = world.plan()
    assert codes(plan) == ["ACCOUNT_CHANGED"]
    assert "it was http://simulator/v1 key first, and now it is http://simulator/v1 key other" in (
        shown(plan)
    )
    assert len(world.asked) == before


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(*BATCH, status=401, body=failure("Bad key."), times=None), "HTTP 401: Bad key"),
        (Fault(*BATCH, status=500, body=failure("Oops."), times=None), "HTTP 500: Oops"),
        (Fault(*BATCH, times=None), "connection reset by peer"),
        (Fault(*BATCH, status=200, body=b"<html>", times=None), "without sense"),
    ],
)
def test_who_cannot_look_is_warned_and_plans_from_the_state(
    world: Accounts, fault: Fault, why: str
) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.wire.faults = [fault]
    plan = world.plan()
    assert plan.counts == {Kind.CONTINUE: 2}
    (warning,) = plan.warnings
    assert why in warning
    assert "--no-refresh" in warning


def test_a_provider_that_hangs_is_not_waited_for(
    world: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "PATIENCE", 0.05)
    world.job("a")
    world.apply(detach=True)

    async def hang(*_: Any) -> None:
        await anyio.sleep_forever()

    world.wire.app = hang
    (warning,) = world.plan().warnings
    assert "no answer" in warning


def test_a_thread_that_hangs_is_left_alone(
    world: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the lookup of a name, which nothing can interrupt."""
    monkeypatch.setattr(looking, "PATIENCE", 0.05)
    monkeypatch.setattr(looking, "_LEAVING", 0.0)
    world.job("a")
    world.apply(detach=True)
    release = threading.Event()

    async def hang(*_: Any) -> None:
        release.wait(30)

    world.wire.app = hang
    (warning,) = world.plan().warnings
    release.set()
    assert "no answer" in warning


def test_a_look_is_told_as_it_goes_on(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    told: list[tuple[int, int]] = []
    world.plan(told=lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]


def test_a_plan_can_be_made_inside_a_running_loop(world: Accounts) -> None:
    world.job("a")
    world.apply(detach=True)
    world.server.cancel_batches()

    async def main() -> Plan:
        return world.plan()

    assert codes(anyio.run(main)) == ["BATCH_CANCELLED_REMOTELY"]


# --- outcomes nobody knows


def lose_the_create(world: Accounts) -> None:
    """Create a batch whose answer is lost, by a process that dies before it looks for it."""
    world.job("a", "b")
    world.wire.faults = [
        Fault(*CREATE, after=True),
        Fault(*LIST, status=401, body=failure("Bad key."), times=None),
    ]
    with pytest.raises(Exception, match="refused the key"):
        world.apply()


def test_an_unknown_outcome_says_since_when_and_why_it_stays_so(world: Accounts) -> None:
    lose_the_create(world)
    plan = world.plan()
    assert codes(plan) == ["OUTCOME_UNKNOWN"]
    assert plan.findings[0].kind is Kind.UNKNOWN
    text = shown(plan)
    assert "has an unknown outcome since 2026-09-2" in text
    assert "(cannot list batches: HTTP 401: Bad key.)" in text
    assert "2 requests are not sent again until it is known" in text


def test_an_unknown_outcome_is_never_paid_blindly(world: Accounts) -> None:
    """Row 2: however often it is tried while the list fails."""
    lose_the_create(world)
    for _ in range(4):
        world.clock.advance(3600)
        with pytest.raises(Exception, match="refused the key"):
            world.apply()
        assert codes(world.plan()) == ["OUTCOME_UNKNOWN"]
    assert world.created == 1
    world.wire.faults = []
    assert "it will be adopted" in shown(world.plan())
    assert world.apply().done
    assert world.created == 1
    assert world.lines == 2


def test_an_unknown_outcome_without_a_batch_is_not_found_yet(world: Accounts) -> None:
    world.job("a")
    world.wire.faults = [
        Fault(*CREATE),
        Fault(*LIST, status=401, body=failure("Bad key."), times=None),
    ]
    with pytest.raises(Exception, match="refused the key"):
        world.apply()
    world.wire.faults = []
    assert "(not found yet)" in shown(world.plan())
    assert "(HTTP 401: Bad key.)" in shown(world.plan(refresh=False))
    assert world.apply().done
    assert world.created == 1


# --- for programs


def test_drift_and_unknown_outcomes_in_json(world: Accounts) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    world.server.cancel_batches()
    world.clock.advance(10)
    document = json.loads(json.dumps(plan_document(world.plan())))
    (drift,) = document["drift"]
    assert drift["code"] == "BATCH_CANCELLED_REMOTELY"
    assert (drift["requests"], drift["answered"], drift["unanswered"]) == (2, 0, 2)
    assert drift["jobs"] == {"m.j": 2}
    assert document["counts"] == {"drift": 2}
    assert document["unknown"] == []
    assert document["changes"] is True
    assert ExitCode.CHANGES == 2


def test_a_saved_plan_keeps_what_was_found_and_can_be_applied(world: Accounts) -> None:
    world.server.pace = Pace(validating=5, in_progress=200_000, finalizing=2, cancelling=5)
    world.job("a", "b", "c", "d")
    world.apply(detach=True)
    world.clock.advance(86_400 + 60)
    world.server.pace = Pace(validating=5, in_progress=20, finalizing=2, cancelling=5)
    path = world.root / "saved.plan"
    with world.open() as project:
        plan = project.plan()
        saved = project.save_plan(plan, path)
    assert saved.plan.findings == plan.findings
    with world.open() as project:
        assert project.apply(project.load_plan(path)).done
    assert world.lines == 4
    world.check()
