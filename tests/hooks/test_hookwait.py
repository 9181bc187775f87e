"""How long a run waits for hooks alone: a table of moments."""

import pytest

from batchspec.apply import hookwait
from batchspec.apply.hookwait import HOOKS_WAIT, HookWait
from batchspec.ids import JobAddress, LaneId
from batchspec.reconcile.actions import Action, RunHooks, RunTools
from batchspec.reconcile.decide import Snapshot, Step, decide
from batchspec.state.records import Lane, LaneRecord

JOB = JobAddress("m.j")
NOTHING = Snapshot()
HOOKS = Snapshot(hooks={JOB: 9e9})
LANE = Lane(id=LaneId(1), provider="openai", endpoint="/v1/chat/completions", model="m")
BOTH = Snapshot(hooks={JOB: 9e9}, lanes=[LaneRecord(lane=LANE, pending=1, tools=0)])
LONG = HOOKS_WAIT + 1
Moment = tuple[float, Snapshot, list[type[Action]], bool]
CASES: dict[str, list[Moment]] = {
    "no hooks": [(LONG, NOTHING, [], False)],
    "hooks alone, and long enough": [(0.0, HOOKS, [], False), (LONG, HOOKS, [], True)],
    "not as long as one runs": [(0.0, HOOKS, [], False), (LONG, HOOKS, [RunHooks], False)],
    "something else runs": [(LONG, HOOKS, [RunTools], False), (LONG + 5, HOOKS, [], False)],
    "something else waits": [(LONG, BOTH, [], False), (LONG + 5, HOOKS, [], False)],
    "they were told all until then": [(LONG, NOTHING, [], False), (LONG + 5, HOOKS, [], False)],
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_waits_for_hooks_as_long_as_written(case: str) -> None:
    wait = HookWait()
    for now, snapshot, running, over in CASES[case]:
        assert wait.is_over(snapshot, running, 0.0, now) is over, now


def test_where_no_job_has_hooks_nothing_is_decided_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Snapshot] = []

    def counting(snapshot: Snapshot, now: float) -> Step:
        asked.append(snapshot)
        return decide(snapshot, now)

    monkeypatch.setattr(hookwait, "decide", counting)
    HookWait().is_over(NOTHING, [], 0.0, LONG)
    assert not asked
    HookWait().is_over(HOOKS, [], 0.0, LONG)
    assert asked
