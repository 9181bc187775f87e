"""Identity: what must change a fingerprint, what must not, and values that never change.

The pinned vectors are the promise that an upgrade pays nothing again. If one fails, the algorithm
changed: raise `fingerprint.VERSION` and re-fingerprint states; do not edit the vectors.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.fingerprint import VERSION, Fingerprinter, canonical_json
from batchspec.messages import Contract, OutputContract, ToolContract

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "fingerprint_vectors.json").read_bytes()
)
TOOL = ToolContract("lookup", "Look up an order.", {"type": "object", "properties": {}})
CONTRACT = Contract(
    provider="openai",
    endpoint="/v1/chat/completions",
    model="gpt-5-mini",
    tools=(TOOL,),
    output=OutputContract("Triage", {"type": "object", "properties": {"queue": {}}}),
    settings={"temperature": 1, "max_tokens": 50},
)
MESSAGES = [{"role": "system", "content": "Route."}, {"role": "user", "content": "Ticket"}]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


def fingerprint(contract: Contract = CONTRACT, messages: Any = MESSAGES, sample: int = 0) -> str:
    return Fingerprinter(contract.canonical())(canonical_json(messages), sample).hex()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_pinned_fingerprint_never_changes(vector: dict[str, Any]) -> None:
    found = fingerprint(
        Contract.from_json(vector["contract"]), vector["messages"], vector["sample"]
    )
    assert (vector["version"], found) == (VERSION, vector["fingerprint"])


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 5


MUST_CHANGE: dict[str, str] = {
    "model": fingerprint(replace(CONTRACT, model="gpt-5-nano")),
    "provider": fingerprint(replace(CONTRACT, provider="other")),
    "endpoint": fingerprint(replace(CONTRACT, endpoint="/v1/responses")),
    "a setting": fingerprint(replace(CONTRACT, settings={"temperature": 0, "max_tokens": 50})),
    "an integer that became a float": fingerprint(
        replace(CONTRACT, settings={"temperature": 1.0, "max_tokens": 50})
    ),
    "a setting left out": fingerprint(replace(CONTRACT, settings={"max_tokens": 50})),
    "no output": fingerprint(replace(CONTRACT, output=None)),
    "the output's name": fingerprint(
        replace(CONTRACT, output=OutputContract("T", {"type": "object", "properties": {}}))
    ),
    "a tool's description": fingerprint(
        replace(CONTRACT, tools=(replace(TOOL, description="Find an order."),))
    ),
    "a tool's parameters": fingerprint(
        replace(CONTRACT, tools=(replace(TOOL, parameters={"type": "object"}),))
    ),
    "a tool's strictness": fingerprint(replace(CONTRACT, tools=(replace(TOOL, strict=False),))),
    "no tools": fingerprint(replace(CONTRACT, tools=())),
    "another tool beside it": fingerprint(
        replace(CONTRACT, tools=(TOOL, replace(TOOL, name="other")))
    ),
    "a word of the prompt": fingerprint(messages=[MESSAGES[0], {**MESSAGES[1], "content": "t"}]),
    "a role": fingerprint(messages=[MESSAGES[0], {**MESSAGES[1], "role": "assistant"}]),
    "the order of messages": fingerprint(messages=MESSAGES[::-1]),
    "a trailing space": fingerprint(messages=[MESSAGES[0], {**MESSAGES[1], "content": "Ticket "}]),
    "unicode composed otherwise": fingerprint(messages=[{"role": "user", "content": "e\u0301"}]),
    "unicode composed": fingerprint(messages=[{"role": "user", "content": "\u00e9"}]),
    "the sample": fingerprint(sample=1),
}


def test_whatever_the_model_would_see_changes_the_fingerprint() -> None:
    """All of them differ from the original, and from each other."""
    assert fingerprint() not in MUST_CHANGE.values()
    assert len(set(MUST_CHANGE.values())) == len(MUST_CHANGE)


@pytest.mark.parametrize(
    "contract",
    [
        replace(CONTRACT, settings={"max_tokens": 50, "temperature": 1}),
        Contract.from_json(json.loads(CONTRACT.canonical())),
        Contract.from_json(json.loads(json.dumps(CONTRACT.to_json()))),
    ],
    ids=["order of settings", "read back", "read back from another encoding"],
)
def test_the_way_it_is_written_does_not_change_the_fingerprint(contract: Contract) -> None:
    assert fingerprint(contract) == fingerprint()


def test_the_order_of_keys_in_a_message_does_not_count() -> None:
    turned = [dict(reversed(message.items())) for message in MESSAGES]
    assert fingerprint(messages=turned) == fingerprint()


@given(JSON, st.integers(0, 99))
def test_hashing_the_contract_once_equals_hashing_the_whole(messages: Any, sample: int) -> None:
    whole = canonical_json({"contract": CONTRACT.to_json(), "messages": messages, "sample": sample})
    assert fingerprint(messages=messages, sample=sample) == hashlib.sha256(whole).hexdigest()


@given(JSON)
def test_canonical_json_is_the_same_value_without_white_space(value: Any) -> None:
    encoded = canonical_json(value)
    assert json.loads(encoded) == value
    assert canonical_json(json.loads(encoded)) == encoded
    assert b"\n" not in encoded
    assert b"\t" not in encoded, "stored bodies divide messages and row by a tab"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_does_not_have_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"temperature": value})


def test_a_lone_surrogate_becomes_what_the_wire_would_carry() -> None:
    assert canonical_json("\ud800") == b'"?"'
