"""What would change for each row, and why: pure, one row at a time, folded per job.

Fingerprints are identity: a row whose request is known is kept or reused, whatever its job, key or
file is called now.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from batchspec.fingerprint import canonical_json, row_digest
from batchspec.ids import JobAddress
from batchspec.messages import Contract, Outcome
from batchspec.plan.changes import Difference, Estimate, JobPlan, Kind, Reason, ReasonCode
from batchspec.ports import (
    PlannedRow,
)
from batchspec.spec.output.members import DEFAULT_NAME
from batchspec.spec.parts import abbreviated
from batchspec.spec.shapes import is_list, is_mapping
from batchspec.state.stored import (
    RecordedRow,
)

_WIDTH = 60
_UNANSWERED: Mapping[str | None, ReasonCode] = {
    "cancelled": "BATCH_CANCELLED_REMOTELY",
    "expired": "BATCH_EXPIRED",
    "lost": "OUTPUT_GONE",
}
"""Outcomes without an answer that was paid for: the next plan proposes to send the row again."""
_UNDER_WAY: Mapping[str, ReasonCode] = {
    "pending": "TURN_PENDING",
    "batched": "BATCH_IN_PROGRESS",
    "tools": "TOOL_CALLS_PENDING",
}


def classify(  # noqa: PLR0913 - what a person may ask for, each by its name
    row: PlannedRow,
    recorded: RecordedRow,
    *,
    known_job: bool,
    replace_it: bool = False,
    failed_again: bool = False,
    resumes: bool = False,
) -> tuple[Kind, ReasonCode | None]:
    """Say what happens to one row, and why.

    A changed request has the reason `ROW_CHANGED` here; `changed_reason` finds a finer one.

    Args:
        row: What is wanted.
        recorded: What the state holds.
        known_job: Whether the state holds items of the job.
        replace_it: Whether a person asks for a new answer.
        failed_again: Whether a person asks for what ended without an answer.
        resumes: Whether it would then go on from the turns that were paid.
    """
    if recorded.fingerprint == row.fingerprint:
        kind, code = _own(row, recorded, replace_it=replace_it, failed_again=failed_again)
        return (Kind.CONTINUE, code) if code == "FAILED" and resumes else (kind, code)
    if recorded.same is not None:
        again = _unanswered(
            recorded.same_outcome, gone=recorded.same_gone, stopped=recorded.same_stopped
        )
        if again is None and recorded.same_tainted:
            again = "TAINTED"
        elif again is None and recorded.same_expired:
            again = "ANSWER_EXPIRED"
        if again is not None:
            return Kind.RESUBMIT, again
        return Kind.REUSE, "SAME_REQUEST" if known_job else "MOVED"
    if recorded.fingerprint is not None:
        return Kind.RESUBMIT, "ROW_CHANGED"
    return Kind.SUBMIT, "NEW_ROWS" if known_job else "NEW_JOB"


def _own(
    row: PlannedRow, recorded: RecordedRow, *, replace_it: bool, failed_again: bool
) -> tuple[Kind, ReasonCode | None]:
    if recorded.phase != "final":
        return Kind.CONTINUE, _UNDER_WAY[recorded.phase or "pending"]
    again: ReasonCode | None = None
    if recorded.outcome != "succeeded":
        again = _unanswered(recorded.outcome, gone=recorded.gone, stopped=recorded.stopped)
    if again is None and replace_it:
        again = "REQUESTED"
    elif again is None and recorded.tainted:
        again = "TAINTED"
    elif again is None and recorded.expired:
        again = "ANSWER_EXPIRED"
    elif again is None and failed_again and recorded.outcome != "succeeded":
        again = "FAILED"
    if again is not None:
        return Kind.RESUBMIT, again
    if recorded.digest not in {None, row_digest(row.row_json)}:
        return Kind.UPDATE, "ROW_DATA_CHANGED"
    return Kind.KEEP, None


def _unanswered(outcome: Outcome | None, *, gone: bool | None, stopped: bool) -> ReasonCode | None:
    """Return why a request that ended so is sent again; None if it is not."""
    if outcome == "cancelled" and stopped:
        return "CANCELLED"
    return "BATCH_GONE" if outcome == "lost" and gone else _UNANSWERED.get(outcome)


def contract_change(old: Contract, new: Contract) -> tuple[ReasonCode, Difference] | None:
    """Return why requests of two contracts differ, or None when only the messages can."""
    was, now = (
        {**c.to_json(), "output mode": _output_mode(c), "triggers": dict(c.triggers)}
        for c in (old, new)
    )
    parts: tuple[tuple[str, ReasonCode], ...] = (
        ("provider", "MODEL_CHANGED"),
        ("endpoint", "MODEL_CHANGED"),
        ("model", "MODEL_CHANGED"),
        ("output mode", "SCHEMA_CHANGED"),
        ("output", "SCHEMA_CHANGED"),
        ("tools", "TOOL_CONTRACT_CHANGED"),
        ("settings", "SETTINGS_CHANGED"),
        ("triggers", "TRIGGERED"),
    )
    for name, code in parts:
        if not _equal(was[name], now[name]):
            return code, first_difference(was[name], now[name], name)
    return None


def _output_mode(contract: Contract) -> str:
    """Return how an answer is asked for, as far as a request shows it."""
    if contract.output is not None:
        return "native"
    named = any(tool.name.startswith(DEFAULT_NAME) for tool in contract.tools)
    if named or contract.later_tool_choice is not None:
        return "tool"
    return "prompted" if contract.json_mode else "text"


def message_change(old: bytes, new: PlannedRow) -> tuple[ReasonCode, Difference]:
    """Return why two requests of one contract differ.

    Args:
        old: The stored body, messages and row divided by a tab.
        new: The row as it is wanted.
    """
    messages, _, row = old.partition(b"\t")
    code: ReasonCode = (
        "PROMPT_CHANGED" if json.loads(row) == json.loads(new.row_json) else "ROW_CHANGED"
    )
    was, now = json.loads(messages), json.loads(new.messages_json)
    return code, first_difference(was, now, "messages" if _is_chat(now) else "input")


def changed_parts(
    old: Contract, new: Contract, old_messages: bytes, new_messages: bytes
) -> frozenset[str]:
    """Return the parts of a request that differ, in the words of `Job.ignore_changes`.

    Args:
        old: What the requests of the recorded row share.
        new: What they are to share.
        old_messages: JSON of the recorded messages.
        new_messages: JSON of the wanted messages.
    """
    was, now = old.to_json(), new.to_json()
    parts = {name for name in ("output", "tools", "settings") if was[name] != now[name]}
    if any(was[name] != now[name] for name in ("provider", "endpoint", "model")):
        parts.add("model")
    if any(was.get(name) != now.get(name) for name in ("json_mode", "later_tool_choice")):
        parts.add("output")
    # A wish of its own, which no list of parts to be ignored can name.
    if was.get("triggers") != now.get("triggers"):
        parts.add("triggers")
    before, after = json.loads(old_messages), json.loads(new_messages)
    if not (_is_chat(before) and _is_chat(after)):
        return frozenset(parts if before == after else {*parts, "input"})
    for part, system in (("instructions", True), ("prompt", False)):
        if _of(before, system=system) != _of(after, system=system):
            parts.add(part)
    return frozenset(parts)


def _is_chat(messages: object) -> bool:
    """Tell messages from an input, which is a text or a list of numbers."""
    return is_list(messages) and not (messages and isinstance(messages[0], int))


def _of(messages: Sequence[Mapping[str, object]], *, system: bool) -> list[Mapping[str, object]]:
    return [message for message in messages if (message["role"] == "system") is system]


def first_difference(old: object, new: object, path: str = "") -> Difference:
    """Return the first place where two JSON values differ; what is not there is `absent`."""
    if is_mapping(old) and is_mapping(new):
        for key in sorted({*old, *new}):
            was, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
            if not _equal(was, now):
                return first_difference(was, now, f"{path}.{key}")
    if is_list(old) and is_list(new):
        for index, (was, now) in enumerate(zip_longest(old, new, fillvalue=_ABSENT)):
            if not _equal(was, now):
                return first_difference(was, now, f"{path}[{index}]")
    return Difference(path, *_shorten(old, new))


class _Absent:
    """Stands for a value that is not there."""


_ABSENT = _Absent()


def _equal(old: object, new: object) -> bool:
    """Tell whether two JSON values are one to a fingerprint, for which 1 is not 1.0."""
    if isinstance(old, _Absent) or isinstance(new, _Absent):
        return False
    return canonical_json(old) == canonical_json(new)


def _json(value: object) -> str:
    if isinstance(value, _Absent):
        return "absent"
    return json.dumps(abbreviated(value), ensure_ascii=False)


def _shorten(old: object, new: object) -> tuple[str, str]:
    """Return both values as JSON, cut around the first character that differs."""
    was, now = _json(old), _json(new)
    if len(was) <= _WIDTH and len(now) <= _WIDTH:
        return was, now
    common = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), 0)
    start = max(0, common - _WIDTH // 3)
    return _cut(was, start), _cut(now, start)


def _cut(text: str, start: int) -> str:
    part = text[start : start + _WIDTH]
    return ("…" if start else "") + part + ("…" if start + _WIDTH < len(text) else "")


@dataclass(slots=True)
class Tally:
    """Folds the rows of one job into its plan."""

    address: JobAddress
    model: str
    rows: int = 0
    seen: int = 0
    """Rows that have an item in the state."""
    resumed: int = 0
    """Rows that ended and go on from turns that were paid."""
    longer: int = 0
    """Bytes by which requests that go on from a later turn are longer than those of the first."""
    expired: int = 0
    """Bytes of the prompts of rows whose answers are too old."""
    superseded: int = 0
    """Rows that change while their old request is in a batch."""
    counts: dict[Kind, int] = field(default_factory=dict[Kind, int])
    _examples: dict[tuple[Kind, ReasonCode], Reason] = field(
        default_factory=dict[tuple[Kind, ReasonCode], Reason]
    )
    """The first row of each reason; how many there are is counted beside, as they come."""
    _of_reason: dict[tuple[Kind, ReasonCode], int] = field(
        default_factory=dict[tuple[Kind, ReasonCode], int]
    )

    def add(
        self,
        kind: Kind,
        code: ReasonCode | None,
        key: str | None = None,
        difference: Difference | None = None,
        rows: int = 1,
    ) -> None:
        """Count rows; the first one of a reason is kept as its example."""
        self.counts[kind] = self.counts.get(kind, 0) + rows
        if code is None:
            return
        why = (kind, code)
        if why in self._of_reason:
            self._of_reason[why] += rows
            return
        self._of_reason[why] = rows
        self._examples[why] = Reason(
            kind=kind, code=code, rows=rows, example_key=key, difference=difference
        )

    def recount(self, kind: Kind, code: ReasonCode, other: ReasonCode, rows: int) -> None:
        """Give another reason for some rows."""
        if not rows or (kind, code) not in self._examples:
            return
        example = self._examples.pop((kind, code))
        left = self._of_reason.pop((kind, code)) - rows
        if left > 0:
            self._examples[kind, code] = example
            self._of_reason[kind, code] = left
        self._examples[kind, other] = replace(example, code=other)
        self._of_reason[kind, other] = rows

    def plan(
        self,
        *,
        requests: int,
        max_turns: int,
        estimate: Estimate,
        waits_for: tuple[JobAddress, ...] = (),
        removed: bool = False,
    ) -> JobPlan:
        """Return the job's plan."""
        return JobPlan(
            address=self.address,
            model=self.model,
            rows=self.rows,
            counts=self.counts,
            reasons=tuple(
                replace(example, rows=self._of_reason[why])
                for why, example in self._examples.items()
            ),
            requests=requests,
            max_turns=max_turns,
            estimate=estimate,
            waits_for=waits_for,
            removed=removed,
            superseded=self.superseded,
        )
