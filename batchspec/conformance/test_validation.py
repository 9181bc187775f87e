"""Input files that fail validation: nothing runs, nothing is charged, and every mistake is told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from batchspec.conformance.bodies import Json
from batchspec.conformance.checks import Check, check, each
from batchspec.conformance.scenarios import line
from batchspec.conformance.server import Server, Target

_MISSING = frozenset({"missing_required_parameter", "invalid_request"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """A second line that is wrong, and what the service calls that.

    Attributes:
        reason: What is expected of a server.
        changes: Of a good line; None leaves a field out. Bytes are the line itself.
        body: Changes of its body.
        codes: What the error may be called.
        param: The parameter it names, if that is known.
    """

    reason: str
    changes: Json | bytes
    body: Json
    codes: frozenset[str]
    param: str | None = None

    def line(self, target: Target) -> Json | bytes:
        """Return the wrong line."""
        if isinstance(self.changes, bytes):
            return self.changes
        good = line(target, "second")
        wrong = {**good, "body": _without_none({**good["body"], **self.body}), **self.changes}
        return _without_none(wrong)


def _without_none(value: Json) -> Json:
    return {key: part for key, part in value.items() if part is not None}


_MISTAKES: Mapping[str, Mistake] = {
    "json": Mistake(
        "A line that is no JSON fails the batch.", b'{"custom_id": ', {},
        frozenset({"invalid_json_line"}),
    ),
    "custom-id": Mistake(
        "A line without a custom_id fails the batch.", {"custom_id": None}, {}, _MISSING,
        "custom_id",
    ),
    "custom-id-twice": Mistake(
        "A custom_id that comes twice fails the batch.", {"custom_id": "first"}, {},
        frozenset({"duplicate_custom_id"}),
    ),
    "method": Mistake(
        "A line without a method fails the batch.", {"method": None}, {}, _MISSING, "method",
    ),
    "url": Mistake("A line without a url fails the batch.", {"url": None}, {}, _MISSING, "url"),
    "other-url": Mistake(
        "A line for another endpoint than the batch's fails the batch.",
        {"url": "/v1/conformance"}, {}, frozenset({"invalid_url", "url_mismatch"}), "url",
    ),
    "body": Mistake(
        "A line without a body fails the batch.", {"body": None}, {}, _MISSING, "body",
    ),
    "model": Mistake(
        "A line without a model fails the batch.", {}, {"model": None}, _MISSING, "body.model",
    ),
    "other-model": Mistake(
        "A line for another model than the first line's fails the batch.", {},
        {"model": "conformance-other"},
        frozenset({"mismatched_model", "model_mismatch", "model_not_found"}),
    ),
    "input": Mistake("A line that asks nothing fails the batch.", {}, {"input": None}, _MISSING),
    "stream": Mistake(
        "A line that wants its answer streamed fails the batch.", {}, {"stream": True},
        frozenset({"streaming_unsupported"}), "body.stream",
    ),
}  # fmt: skip


class Doomed:
    """One batch for each mistake, submitted on first use."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._created: dict[str, str] = {}

    def failed(self, name: str) -> Json:
        """Return the batch of a mistake at its end."""
        if not self._created:
            self._created = dict(self._submitted())
        return self._server.ended(self._created[name])

    def errors(self, name: str) -> list[Json]:
        """Return the errors of a batch that must have failed."""
        batch = self.failed(name)
        if batch["status"] != "failed":
            pytest.fail(f"The batch was not refused: it is {batch['status']}.", pytrace=False)
        errors: Json = batch.get("errors") or {}
        found: list[Json] = errors.get("data") or []
        if not found:
            pytest.fail("The batch failed and does not say why.", pytrace=False)
        return found

    def _submitted(self) -> Iterator[tuple[str, str]]:
        target = self._server.target
        for name, mistake in _MISTAKES.items():
            wrong = mistake.line(target)
            if name == "input" and isinstance(wrong, dict):
                wrong["body"].pop(target.dialect.input, None)
            batch = self._server.submit([line(target, "first"), wrong])
            yield name, str(batch["id"])


@pytest.fixture(scope="session")
def doomed(server: Server) -> Doomed:
    """The batches that fail validation."""
    return Doomed(server)


@each(
    "name",
    {
        Check(f"validation.{name}", "must", "free", "observed", mistake.reason): (name,)
        for name, mistake in _MISTAKES.items()
    },
)
def test_mistake_fails_the_batch(doomed: Doomed, name: str) -> None:
    doomed.errors(name)


@each(
    "name",
    {
        Check(
            f"validation.{name}.line",
            "should",
            "free",
            "spec: Batch.errors",
            "The error says which line: 2, counted from 1.",
        ): (name,)
        for name in _MISTAKES
    },
)
def test_mistake_names_its_line(doomed: Doomed, name: str) -> None:
    assert [error.get("line") for error in doomed.errors(name)] == [2]


@each(
    "name",
    {
        Check(
            f"validation.{name}.code",
            "should",
            "free",
            "observed",
            f"The error's code is {' or '.join(sorted(mistake.codes))}.",
        ): (name,)
        for name, mistake in _MISTAKES.items()
    },
)
def test_mistake_has_its_code(doomed: Doomed, name: str) -> None:
    mistake = _MISTAKES[name]
    for error in doomed.errors(name):
        assert error.get("code") in mistake.codes
        assert mistake.param is None or error.get("param") == mistake.param


@check("validation.failed.batch", "must", "free", "guide: batch, statuses")
def test_failed_batch(doomed: Doomed) -> None:
    """A batch that failed validation has no result files and counts nothing."""
    batch = doomed.failed("json")
    assert batch["status"] == "failed"
    assert not batch.get("output_file_id")
    assert not batch.get("error_file_id")
    counts: Json = batch.get("request_counts") or {}
    assert not any(counts.values())


@check("validation.failed.times", "should", "free", "spec: Batch")
def test_failed_times(doomed: Doomed) -> None:
    """A batch that failed validation tells when, and was never in progress."""
    batch = doomed.failed("json")
    assert type(batch.get("failed_at")) is int
    assert batch.get("in_progress_at") is None


@check("validation.failed.cancel-409", "should", "free", "observed")
def test_failed_cancel(server: Server, doomed: Doomed) -> None:
    """A failed batch cannot be cancelled: 409."""
    batch = doomed.failed("json")
    response = server.request("POST", f"/batches/{batch['id']}/cancel")
    assert response.status_code == 409


@check("validation.every-line", "should", "free", "observed")
def test_every_line_is_told(server: Server) -> None:
    """All mistakes of a file are told at once, each with its line."""
    first, third = line(server.target, "first"), line(server.target, "third")
    lines: list[Json | bytes] = [first, b"{", third, b"["]
    failed = server.ended(server.submit(lines)["id"])
    assert failed["status"] == "failed"
    assert [error.get("line") for error in failed["errors"]["data"]] == [2, 4]
