"""Rows to requests: the fast bytes are the canonical bytes, and bad rows are told."""

# ruff: noqa: E501 - messages stay as they are seen

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from batchspec.desired.expand import DesiredRow, Expander, SourceRow
from batchspec.desired.graph import DesiredJob
from batchspec.errors import Diagnostic, Source, SpecError
from batchspec.fingerprint import Fingerprinter, canonical_json
from batchspec.ids import JobAddress
from batchspec.messages import Contract
from batchspec.spec import rows
from batchspec.spec.job import Job
from batchspec.spec.output import PromptedOutput, output_mode
from batchspec.spec.parts import Document, Image
from batchspec.spec.result import MAX_CONTENT


class Ticket(BaseModel):
    id: int
    text: str = "none"


def desired(**arguments: Any) -> DesiredJob:
    given: dict[str, Any] = {"model": "openai:m", "rows": rows.inline([]), "prompt": "{text}"}
    return DesiredJob(
        address=JobAddress("a.b"),
        job=Job(**(given | arguments)),
        contract=Contract(provider="openai", endpoint="/v1/chat/completions", model="m"),
        output=output_mode(None),
        source=Source("specs/a.py", 3),
    )


def expand(job: DesiredJob, given: Iterable[SourceRow | Diagnostic]) -> list[Any]:
    return list(Expander(job).expand(given))


def as_list(row: dict[str, Any]) -> list[Any]:
    return [
        {"role": "user", "content": [{"type": "text", "text": row["text"]}]},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": row["text"]},
    ]


PROMPTS: list[str | Callable[[dict[str, Any]], Any]] = ["{text}", "<{text}>\n", as_list]
INSTRUCTIONS = [None, "Be “brief”.", "About {text}:", lambda row: row["text"], as_list]


@given(
    text=st.text(min_size=1),
    prompt=st.sampled_from(PROMPTS),
    instructions=st.sampled_from(INSTRUCTIONS),
)
def test_the_fast_bytes_are_the_canonical_bytes(text: str, prompt: Any, instructions: Any) -> None:
    job = desired(prompt=prompt, instructions=instructions)
    (row,) = expand(job, [SourceRow("k", {"text": text})])
    messages = Expander(job).render_messages({"text": text})
    assert row.messages_json == canonical_json(messages)
    assert row.fingerprint == Fingerprinter(job.contract.canonical())(canonical_json(messages))
    assert json.loads(row.row_json) == {"text": text}


def test_a_lone_surrogate_is_replaced_as_on_the_wire() -> None:
    job = desired(prompt=lambda row: "a\ud83d" + row["text"])
    (row,) = expand(job, [SourceRow("k", {"text": "b"})])
    assert row.messages_json == canonical_json([{"role": "user", "content": "a\ud83db"}])
    (found,) = expand(desired(), [SourceRow("k", {"text": "\ud83d"}, 5, "d.jsonl")])
    assert str(found).startswith("d.jsonl:5: a.b: row is not JSON. Row 'k': ")


@given(st.text(min_size=1))
def test_control_characters_and_all_else_survive(text: str) -> None:
    (row,) = expand(
        desired(instructions=text.replace("{", "{{").replace("}", "}}")),
        [SourceRow("k", {"text": text})],
    )
    assert isinstance(row, DesiredRow)
    system, user = json.loads(row.messages_json)
    assert (system["content"], user["content"]) == (text, text)


def test_a_request_is_known_by_what_the_model_sees() -> None:
    first, moved, other = expand(
        desired(),
        [
            SourceRow("1", {"text": "a", "unused": 1}),
            SourceRow("2", {"text": "a"}),
            SourceRow("3", {"text": "b"}),
        ],
    )
    assert first.fingerprint == moved.fingerprint != other.fingerprint
    (refactored,) = expand(desired(prompt=lambda row: row["text"]), [SourceRow("1", {"text": "a"})])
    assert refactored.fingerprint == first.fingerprint


def test_the_row_is_kept_as_read_and_the_prompt_gets_the_row_type() -> None:
    (row,) = expand(
        desired(prompt=lambda ticket: f"{ticket.id + 1} {ticket.text}", row_type=Ticket),
        [SourceRow("7", {"id": "7", "more": None})],
    )
    assert row.row_json == b'{"id":"7","more":null}'
    assert json.loads(row.messages_json) == [{"role": "user", "content": "8 none"}]


def fails(row: Any) -> str:
    return str(1 / row["zero"])


@pytest.mark.parametrize(
    ("arguments", "row", "told"),
    [
        (
            {"prompt": "{txt}"},
            {"text": "a"},
            (
                "d.csv:5: a.b: prompt cannot be rendered. Row 'k': {txt}: the row has no 'txt'."
                " Did you mean 'text'?"
            ),
        ),
        (
            {"row_type": Ticket},
            {"id": "x", "text": 3},
            (
                "d.csv:5: a.b: row does not fit its row_type. Row 'k': id: Input should be a valid"
                " integer, unable to parse string as an integer (got 'x'); text: Input should be a"
                " valid string (got 3)."
            ),
        ),
        (
            {"prompt": fails},
            {"zero": 0},
            (
                "d.csv:5: a.b: prompt function failed. Row 'k': ZeroDivisionError: division by zero"
                f" ({__file__}:{fails.__code__.co_firstlineno + 1})."
            ),
        ),
        (
            {"prompt": lambda _: None},
            {},
            (
                "d.csv:5: a.b: prompt cannot be rendered. Row 'k': A prompt function returns a text or"
                " a list of messages, at least one; got None."
            ),
        ),
        (
            {"prompt": "{text}"},
            {"text": ""},
            (
                "d.csv:5: a.b: prompt cannot be rendered. Row 'k': The prompt came out empty; there is"
                " nothing to ask."
            ),
        ),
        (
            {"prompt": "{text}"},
            {"text": "a", "x": object},
            (
                "d.csv:5: a.b: row is not JSON. Row 'k': Unable to serialize unknown type:"
                " <class 'type'>."
            ),
        ),
    ],
)
def test_a_bad_row_is_told_and_the_others_go_on(
    arguments: dict[str, Any], row: dict[str, Any], told: str
) -> None:
    found = expand(desired(**arguments), [SourceRow("k", row, 5, "d.csv")] * 2)
    assert [str(d) for d in found] == [told, told]


def test_a_row_without_a_file_is_told_by_its_number_and_the_line_of_the_job() -> None:
    (found,) = expand(desired(prompt="{x}"), [SourceRow("k", {}, 5)])
    assert str(found).startswith("specs/a.py:3: a.b: prompt cannot be rendered. Row 'k' (row 5):")


def test_diagnostics_of_the_reader_pass_through_with_the_address() -> None:
    found = Diagnostic(summary="line is not JSON", detail="x.", source=Source("d", 2))
    (passed,) = expand(desired(), [found])
    assert str(passed) == "d:2: a.b: line is not JSON. x."


def test_rows_stream() -> None:
    seen: list[int] = []

    def source() -> Iterable[SourceRow]:
        for number in range(1, 1000):
            seen.append(number)
            yield SourceRow(str(number), {"text": "x"})

    next(iter(Expander(desired()).expand(source())))
    assert seen == [1]


LONG = "x" * (MAX_CONTENT + 1)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({}, "The prompt"),
        ({"prompt": lambda row: row["text"]}, "The prompt"),
        ({"prompt": lambda row: [{"role": "user", "content": row["text"]}]}, "A message"),
        ({"prompt": lambda row: ["Look:", row["text"]]}, "A text of a message"),
        ({"prompt": lambda row: [{"type": "text", "text": row["text"]}]}, "A text of a message"),
        ({"prompt": "hi", "instructions": "{text}"}, "The instructions"),
        ({"prompt": "hi", "instructions": lambda row: row["text"]}, "The instructions"),
    ],
)
def test_a_text_that_no_provider_takes_is_told_with_its_row(
    arguments: dict[str, Any], what: str
) -> None:
    fits = SourceRow("fits", {"text": LONG[:MAX_CONTENT]}, 4, "d.jsonl")
    found, row = expand(desired(**arguments), [SourceRow("k", {"text": LONG}, 3, "d.jsonl"), fits])
    assert str(found).startswith(
        f"d.jsonl:3: a.b: prompt cannot be rendered. Row 'k': {what} came out with 10_485_761"
        " characters; a text of a message may have 10_485_760."
    )
    assert row.key == "fits"


def test_instructions_grow_with_the_schema_that_is_told_in_them() -> None:
    job = replace(desired(instructions=LONG[: MAX_CONTENT - 9]), output=output_mode(Ticket))
    assert isinstance(expand(job, [SourceRow("k", {"text": "a"})])[0], DesiredRow)
    told = replace(job, output=output_mode(PromptedOutput(Ticket)))
    (found,) = expand(told, [SourceRow("k", {"text": "a"})])
    assert "The instructions, with the schema of the output, came out with" in found.detail


def test_a_template_that_is_too_long_by_itself_is_told_where_the_job_is() -> None:
    with pytest.raises(SpecError, match="`instructions`: The text came out with 10_485_761"):
        desired(instructions=LONG)


PART = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize(
    ("role", "endpoint", "refused"),
    [
        ("user", "/v1/chat/completions", False),
        ("system", "/v1/chat/completions", True),
        ("system", "/v1/responses", False),
        ("tool", "/v1/chat/completions", True),
        ("assistant", "/v1/chat/completions", True),
        ("assistant", "/v1/responses", True),
    ],
)
@pytest.mark.parametrize(
    "part", [PART, Image("https://example.com/a.png"), Document(data=b"%PDF-")]
)
@pytest.mark.parametrize("where", ["prompt", "instructions"])
def test_who_may_show_what_is_no_text(
    role: str, endpoint: str, refused: bool, part: Any, where: str
) -> None:
    more = {"tool_call_id": "c"} if role == "tool" else {}
    told = {where: lambda row: [{"role": role, "content": [row["text"], part], **more}]}
    job = desired(**told)
    job = replace(job, contract=replace(job.contract, endpoint=endpoint))
    (found,) = expand(job, [SourceRow("k", {"text": "look"}, 3, "d.jsonl")])
    assert isinstance(found, Diagnostic) == refused
    if refused:
        assert str(found).startswith(
            "d.jsonl:3: a.b: prompt cannot be rendered. Row 'k': A message of the"
            f" {role} holds texts only"
        )
