"""What happens to a row, and why: tables of values, and the places where requests differ."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchspec.desired.expand import DesiredRow
from batchspec.fingerprint import canonical_json
from batchspec.ids import ConversationId, Fingerprint, JobAddress
from batchspec.messages import Contract, OutputContract, ToolContract
from batchspec.plan.changes import Difference, Estimate, Kind
from batchspec.plan.diff import (
    Tally,
    changed_parts,
    classify,
    contract_change,
    first_difference,
    message_change,
)
from batchspec.state.stored import (
    RecordedRow,
)

NEW, OLD = Fingerprint(b"n" * 32), Fingerprint(b"o" * 32)
ROW = DesiredRow("row-1", NEW, b'{"id":"row-1"}', b"[]")
SAME = ConversationId(7)


@dataclass(frozen=True)
class Case:
    name: str
    given: RecordedRow
    then: tuple[Kind, str | None]
    known_job: bool = True
    replace_it: bool = False
    failed_again: bool = False


def own(**more: Any) -> RecordedRow:
    return RecordedRow(fingerprint=NEW, same=SAME, **more)


CASES = (
    Case("new row", RecordedRow(), (Kind.SUBMIT, "NEW_ROWS")),
    Case("new job", RecordedRow(), (Kind.SUBMIT, "NEW_JOB"), known_job=False),
    Case("answered", own(phase="final", outcome="succeeded"), (Kind.KEEP, None)),
    Case("failed", own(phase="final", outcome="failed"), (Kind.KEEP, None)),
    Case("refused", own(phase="final", outcome="refused"), (Kind.KEEP, None)),
    Case("truncated", own(phase="final", outcome="truncated"), (Kind.KEEP, None)),
    Case(
        "cancelled remotely",
        own(phase="final", outcome="cancelled"),
        (Kind.RESUBMIT, "BATCH_CANCELLED_REMOTELY"),
    ),
    Case("expired", own(phase="final", outcome="expired"), (Kind.RESUBMIT, "BATCH_EXPIRED")),
    Case(
        "lost with its batch",
        own(phase="final", outcome="lost", gone=True),
        (Kind.RESUBMIT, "BATCH_GONE"),
    ),
    Case(
        "lost with the results",
        own(phase="final", outcome="lost"),
        (Kind.RESUBMIT, "OUTPUT_GONE"),
    ),
    Case(
        "the same request was lost with its batch",
        RecordedRow(same=SAME, same_phase="final", same_outcome="lost", same_gone=True),
        (Kind.RESUBMIT, "BATCH_GONE"),
    ),
    Case("pending", own(phase="pending"), (Kind.CONTINUE, "TURN_PENDING")),
    Case("batched", own(phase="batched"), (Kind.CONTINUE, "BATCH_IN_PROGRESS")),
    Case("tools", own(phase="tools"), (Kind.CONTINUE, "TOOL_CALLS_PENDING")),
    Case(
        "asked for anew",
        own(phase="final", outcome="succeeded"),
        (Kind.RESUBMIT, "REQUESTED"),
        replace_it=True,
    ),
    Case(
        "asked for anew while under way",
        own(phase="batched"),
        (Kind.CONTINUE, "BATCH_IN_PROGRESS"),
        replace_it=True,
    ),
    Case(
        "failed, and asked for again",
        own(phase="final", outcome="truncated"),
        (Kind.RESUBMIT, "FAILED"),
        failed_again=True,
    ),
    Case(
        "answered, where failed ones are asked for",
        own(phase="final", outcome="succeeded"),
        (Kind.KEEP, None),
        failed_again=True,
    ),
    Case(
        "expired, where failed ones are asked for",
        own(phase="final", outcome="expired"),
        (Kind.RESUBMIT, "BATCH_EXPIRED"),
        failed_again=True,
    ),
    Case(
        "tainted",
        own(phase="final", outcome="succeeded", tainted=True),
        (Kind.RESUBMIT, "TAINTED"),
    ),
    Case(
        "tainted, and on its way again",
        own(phase="pending", tainted=True),
        (Kind.CONTINUE, "TURN_PENDING"),
    ),
    Case(
        "new row, asked before, but tainted",
        RecordedRow(same=SAME, same_phase="final", same_outcome="succeeded", same_tainted=True),
        (Kind.RESUBMIT, "TAINTED"),
    ),
    Case(
        "answered too long ago",
        own(phase="final", outcome="succeeded", expired=True),
        (Kind.RESUBMIT, "ANSWER_EXPIRED"),
    ),
    Case(
        "answered too long ago, and its row changed outside its request",
        own(phase="final", outcome="succeeded", expired=True, digest=1),
        (Kind.RESUBMIT, "ANSWER_EXPIRED"),
    ),
    Case(
        "answered too long ago, and tainted",
        own(phase="final", outcome="succeeded", expired=True, tainted=True),
        (Kind.RESUBMIT, "TAINTED"),
    ),
    Case(
        "answered too long ago, and on its way again",
        own(phase="batched", expired=False),
        (Kind.CONTINUE, "BATCH_IN_PROGRESS"),
    ),
    Case(
        "new row, asked before, but too long ago",
        RecordedRow(same=SAME, same_phase="final", same_outcome="succeeded", same_expired=True),
        (Kind.RESUBMIT, "ANSWER_EXPIRED"),
    ),
    Case(
        "changed",
        RecordedRow(fingerprint=OLD, phase="final", outcome="succeeded"),
        (Kind.RESUBMIT, "ROW_CHANGED"),
    ),
    Case(
        "changed to what another row asked",
        RecordedRow(fingerprint=OLD, phase="final", same=SAME, same_phase="final",
                    same_outcome="succeeded"),
        (Kind.REUSE, "SAME_REQUEST"),
    ),
    Case(
        "new row, but asked before",
        RecordedRow(same=SAME, same_phase="batched"),
        (Kind.REUSE, "SAME_REQUEST"),
    ),
    Case(
        "job renamed",
        RecordedRow(same=SAME, same_phase="final", same_outcome="succeeded"),
        (Kind.REUSE, "MOVED"),
        known_job=False,
    ),
    Case(
        "new row, asked before, but expired",
        RecordedRow(same=SAME, same_phase="final", same_outcome="expired"),
        (Kind.RESUBMIT, "BATCH_EXPIRED"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_recorded_decides_what_happens_to_a_row(case: Case) -> None:
    found = classify(
        ROW,
        case.given,
        known_job=case.known_job,
        replace_it=case.replace_it,
        failed_again=case.failed_again,
    )
    assert found == case.then


TOOL = ToolContract("lookup", "Find.", {"type": "object", "properties": {}})
CONTRACT = Contract(
    provider="openai",
    endpoint="/v1/chat/completions",
    model="gpt-5-mini",
    tools=(TOOL,),
    output=OutputContract("T", {"type": "object", "properties": {"a": {"type": "string"}}}),
    settings={"temperature": 1},
)


@pytest.mark.parametrize(
    ("new", "code", "difference"),
    [
        (
            replace(CONTRACT, model="gpt-5-nano"),
            "MODEL_CHANGED",
            Difference("model", '"gpt-5-mini"', '"gpt-5-nano"'),
        ),
        (
            replace(CONTRACT, provider="azure"),
            "MODEL_CHANGED",
            Difference("provider", '"openai"', '"azure"'),
        ),
        (
            replace(CONTRACT, endpoint="/v1/responses"),
            "MODEL_CHANGED",
            Difference("endpoint", '"/v1/chat/completions"', '"/v1/responses"'),
        ),
        (
            replace(CONTRACT, settings={"temperature": 0}),
            "SETTINGS_CHANGED",
            Difference("settings.temperature", "1", "0"),
        ),
        (
            replace(CONTRACT, settings={"temperature": 1.0}),
            "SETTINGS_CHANGED",
            Difference("settings.temperature", "1", "1.0"),
        ),
        (
            replace(CONTRACT, settings={"temperature": 1, "seed": None}),
            "SETTINGS_CHANGED",
            Difference("settings.seed", "absent", "null"),
        ),
        (
            replace(CONTRACT, tools=(replace(TOOL, description="Look."),)),
            "TOOL_CONTRACT_CHANGED",
            Difference("tools[0].description", '"Find."', '"Look."'),
        ),
        (
            replace(CONTRACT, tools=()),
            "TOOL_CONTRACT_CHANGED",
            None,
        ),
        (
            replace(CONTRACT, output=OutputContract("T", {"type": "object", "properties": {}})),
            "SCHEMA_CHANGED",
            None,
        ),
        (replace(CONTRACT, output=None), "SCHEMA_CHANGED", None),
    ],
)
def test_a_changed_contract_says_which_part(
    new: Contract, code: str, difference: Difference | None
) -> None:
    found = contract_change(CONTRACT, new)
    assert found is not None
    assert found[0] == code
    assert difference is None or found[1] == difference
    assert found[1].before != found[1].after


@pytest.mark.parametrize(
    ("new", "mode"),
    [
        (replace(CONTRACT, output=OutputContract("City", {})), "native"),
        (replace(CONTRACT, tools=(ToolContract("final_result_A", "", {}),)), "tool"),
        (replace(CONTRACT, later_tool_choice="required"), "tool"),
        (replace(CONTRACT, json_mode=True), "prompted"),
    ],
)
def test_another_output_mode_is_named(new: Contract, mode: str) -> None:
    text = replace(CONTRACT, output=None)
    found = contract_change(text, replace(new, output=new.output if mode == "native" else None))
    assert found == ("SCHEMA_CHANGED", Difference("output mode", '"text"', f'"{mode}"'))


def test_what_an_output_adds_to_a_request_counts_as_output() -> None:
    for new in (replace(CONTRACT, json_mode=True), replace(CONTRACT, later_tool_choice="required")):
        assert changed_parts(CONTRACT, new, b"[]", b"[]") == {"output"}


def test_the_model_is_named_before_what_changed_with_it() -> None:
    found = contract_change(CONTRACT, replace(CONTRACT, model="x", settings={}, tools=()))
    assert found is not None
    assert found[0] == "MODEL_CHANGED"


def test_equal_contracts_do_not_differ() -> None:
    assert contract_change(CONTRACT, Contract.from_json(json.loads(CONTRACT.canonical()))) is None


def body(messages: Any, row: Any) -> bytes:
    return canonical_json(messages) + b"\t" + canonical_json(row)


def wanted(messages: Any, row: Any) -> DesiredRow:
    return DesiredRow("k", NEW, canonical_json(row), canonical_json(messages))


def test_a_changed_row_is_told_from_a_changed_prompt() -> None:
    old = body([{"role": "user", "content": "Say a"}], {"text": "a"})
    row_changed = wanted([{"role": "user", "content": "Say b"}], {"text": "b"})
    prompt_changed = wanted([{"role": "user", "content": "Tell a"}], {"text": "a"})
    place = "messages[0].content"
    assert message_change(old, row_changed) == (
        "ROW_CHANGED",
        Difference(place, '"Say a"', '"Say b"'),
    )
    assert message_change(old, prompt_changed) == (
        "PROMPT_CHANGED",
        Difference(place, '"Say a"', '"Tell a"'),
    )


LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text(max_size=3)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)


def follow(value: Any, path: str) -> Any:
    """Walk a path such as `.a[0].b`; what is not there is `absent`."""
    for step in path.replace("[", ".[").split(".")[1:]:
        try:
            value = value[int(step[1:-1])] if step.startswith("[") else value[step]
        except (KeyError, IndexError):
            return "absent"
    return value


def shown(value: Any) -> str:
    return "absent" if value == "absent" else json.dumps(value, ensure_ascii=False)


@given(JSON, JSON)
def test_the_place_of_a_difference_exists_and_its_values_differ(old: Any, new: Any) -> None:
    assume(canonical_json(old) != canonical_json(new))
    found = first_difference(old, new)
    assert found.before != found.after
    was, now = follow(old, found.path), follow(new, found.path)
    if len(shown(was)) <= 60 and len(shown(now)) <= 60:
        assert (found.before, found.after) == (shown(was), shown(now))


def test_long_values_are_cut_around_their_difference() -> None:
    found = first_difference("a" * 500 + "X" + "b" * 500, "a" * 500 + "Y" + "b" * 500)
    assert "X" in found.before
    assert "Y" in found.after
    assert len(found.before) < 70
    assert found.before.startswith("…")
    assert found.before.endswith("…")


@given(st.text(min_size=61, max_size=200), st.integers(0, 60), st.characters(codec="utf-8"))
def test_a_cut_never_hides_the_difference(text: str, at: int, other: str) -> None:
    assume(text[at] != other)
    found = first_difference(text, text[:at] + other + text[at + 1 :])
    assert found.before != found.after


def test_a_tally_folds_rows_and_keeps_the_first_example() -> None:
    tally = Tally(JobAddress("m.j"), "openai:m", rows=4)
    tally.add(Kind.KEEP, None)
    tally.add(Kind.RESUBMIT, "ROW_CHANGED", "a", Difference("p", "1", "2"))
    tally.add(Kind.RESUBMIT, "ROW_CHANGED", "b", Difference("q", "3", "4"))
    tally.add(Kind.FORGET, "ROW_REMOVED", rows=5)
    plan = tally.plan(requests=2, max_turns=1, estimate=Estimate())
    assert plan.counts == {Kind.KEEP: 1, Kind.RESUBMIT: 2, Kind.FORGET: 5}
    changed, removed = plan.reasons
    assert (changed.rows, changed.example_key, changed.difference) == (
        2,
        "a",
        Difference("p", "1", "2"),
    )
    assert (removed.rows, removed.example_key) == (5, None)
    assert plan.changes


def test_keeping_everything_is_no_change() -> None:
    tally = Tally(JobAddress("m.j"), "openai:m", rows=4)
    tally.add(Kind.KEEP, None, rows=4)
    assert not tally.plan(requests=0, max_turns=1, estimate=Estimate()).changes
