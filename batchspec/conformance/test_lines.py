"""The lines of result files."""

import json
from collections.abc import Callable
from typing import TypeVar

import pytest

from batchspec.conformance.bodies import Json
from batchspec.conformance.checks import check
from batchspec.conformance.scenarios import LONG_ID, Finished
from batchspec.conformance.server import Server, missing

_Read = TypeVar("_Read")


@check("lines.custom-ids", "must", "paid", "guide: batch, output")
def test_custom_ids(clean: Finished) -> None:
    """Every request has one result line under its custom_id; up to 64 characters pass."""
    assert sorted(line["custom_id"] for line in clean.results.all) == sorted(clean.custom_ids)
    assert clean.results.line(LONG_ID)


@check("lines.shape", "must", "paid", "spec: BatchRequestOutput")
def test_shape(clean: Finished) -> None:
    """A line has id, custom_id, response and error; a response has status, request id, body."""
    for line in clean.results.output:
        assert not missing(line, ("id", "custom_id", "response", "error"))
        assert not missing(line["response"], ("status_code", "request_id", "body"))
        assert line["response"]["status_code"] == 200
        assert line["error"] is None


@check("lines.ids", "should", "paid", "spec: BatchRequestOutput")
def test_ids(clean: Finished) -> None:
    """Every line has an id of its own, which begins with batch_req_."""
    ids = [str(line.get("id")) for line in clean.results.all]
    assert len(set(ids)) == len(ids)
    assert {id_[:10] for id_ in ids} == {"batch_req_"}


@check("lines.body-is-object", "must", "paid", "spec: BatchRequestOutput")
def test_body_is_object(clean: Finished) -> None:
    """The body of a response is an object, not a text that holds one."""
    assert all(isinstance(line["response"]["body"], dict) for line in clean.results.output)


@check("lines.bytes", "must", "paid", "guide: batch, output")
def test_bytes(server: Server, clean: Finished) -> None:
    """A result file is UTF-8 without a byte order mark, one JSON object a line."""
    content = server.content(clean.batch["output_file_id"])
    assert not content.startswith(b"\xef\xbb\xbf")
    lines = content.split(b"\n")
    assert len([line for line in lines if line.strip()]) == len(clean.custom_ids)


@check("lines.last-newline", "cosmetic", "paid", "observed")
def test_last_newline(server: Server, clean: Finished) -> None:
    """The last line of a result file ends like the others."""
    assert server.content(clean.batch["output_file_id"]).endswith(b"\n")


@check("lines.answer", "must", "paid", "spec: the endpoint's own response")
def test_answer(server: Server, clean: Finished) -> None:
    """The body of a line is what the endpoint itself would have answered."""
    body = clean.results.body("plain")
    assert _read(server.target.dialect.text, body)


@check("lines.usage", "should", "paid", "spec: the endpoint's own response")
def test_usage(server: Server, clean: Finished) -> None:
    """An answer tells the tokens it took, and their sum."""
    usage = clean.results.body("plain")["usage"]
    counts = [usage[name] for name in server.target.dialect.tokens if name]
    assert all(type(count) is int and count > 0 for count in counts)
    assert usage["total_tokens"] == sum(counts)


@check("lines.model", "should", "paid", "spec: the endpoint's own response")
def test_model(server: Server, clean: Finished) -> None:
    """An answer tells the model it came from."""
    asked = server.target.model
    assert str(clean.results.body("plain")["model"])[: len(asked)] == asked  # a date may follow


@check("lines.tool-call", "should", "paid", "guide: function calling")
def test_tool_call(server: Server, clean: Finished) -> None:
    """A request that demands a call of a tool is answered with one, its arguments as JSON text."""
    dialect = server.target.dialect
    if dialect.call is None:
        pytest.skip(f"{dialect.endpoint} calls no tools")
    name, arguments = _read(dialect.call, clean.results.body("tool"))
    assert name == "note_colour"
    assert isinstance(json.loads(arguments)["colour"], str)


@check("lines.schema", "should", "paid", "guide: structured outputs")
def test_schema(server: Server, clean: Finished) -> None:
    """A request with a JSON schema is answered with JSON that fits it."""
    dialect = server.target.dialect
    if dialect.schema is None:
        pytest.skip(f"{dialect.endpoint} knows no schemas")
    answer = json.loads(str(_read(dialect.text, clean.results.body("schema"))))
    assert list(answer) == ["colour"]
    assert isinstance(answer["colour"], str)


@check("lines.refused", "must", "paid", "observed")
def test_refused(mixed: Finished) -> None:
    """A refused request has the endpoint's own status and error body; the line's error is null."""
    line = mixed.results.line("bad")
    assert line["response"]["status_code"] == 400
    assert isinstance(line["response"]["body"]["error"]["message"], str)
    assert line["error"] is None


def _read(reader: Callable[[Json], _Read], body: Json) -> _Read:
    try:
        return reader(body)
    except (LookupError, TypeError, ValueError, StopIteration) as error:
        shown = json.dumps(body)[:200]
        pytest.fail(f"The answer cannot be read ({error!r}): {shown}", pytrace=False)
