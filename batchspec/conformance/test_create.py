"""Creating a batch: what is answered, and what is refused."""

from collections.abc import Mapping

import pytest

from batchspec.conformance.bodies import Json
from batchspec.conformance.checks import Check, check, each
from batchspec.conformance.scenarios import line
from batchspec.conformance.server import Server, accepted, encoded, missing, refused

KEYS = (
    "id", "object", "endpoint", "errors", "input_file_id", "completion_window", "status",
    "output_file_id", "error_file_id", "created_at", "in_progress_at", "expires_at",
    "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at",
    "request_counts", "metadata",
)  # fmt: skip
"""Of the batch object; `model` and `usage` came later and are checked on their own."""
_DAY = 86_400


@pytest.fixture(scope="session")
def doomed_file(server: Server) -> str:
    """A file that fails validation, so that its batches cost nothing."""
    return str(server.upload(encoded([line(server.target, "good"), b"{"]))["id"])


@pytest.fixture(scope="session")
def created(server: Server, doomed_file: str) -> Json:
    """A batch as the answer to its creation tells it."""
    return accepted(server.propose(doomed_file, metadata={"kind": "conformance"}))


@check("batches.create.object", "must", "free", "spec: Batch")
def test_object(created: Json, server: Server, doomed_file: str) -> None:
    """The answer to a creation is the batch, with what was asked for."""
    assert created["object"] == "batch"
    assert isinstance(created["id"], str)
    assert type(created["created_at"]) is int
    assert (created["input_file_id"], created["endpoint"]) == (doomed_file, server.target.endpoint)


@check("batches.create.window", "should", "free", "spec: Batch")
def test_window(created: Json) -> None:
    """The completion window is told as it was given: 24h."""
    assert created["completion_window"] == "24h"


@check("batches.create.status", "should", "free", "guide: batch, statuses")
def test_status(created: Json) -> None:
    """A batch begins as validating."""
    assert created["status"] == "validating"


@check("batches.create.counts", "should", "free", "spec: BatchRequestCounts")
def test_counts(created: Json) -> None:
    """Counts are all zero before a batch is validated."""
    assert created["request_counts"] == {"total": 0, "completed": 0, "failed": 0}


@check("batches.create.expires", "should", "free", "observed")
def test_expires(created: Json) -> None:
    """A batch expires 24 hours after its creation."""
    assert created["expires_at"] == created["created_at"] + _DAY


@check("batches.create.nulls", "should", "free", "observed")
def test_nulls(created: Json) -> None:
    """Every key of a batch is there from the beginning, with null where nothing is known."""
    assert not missing(created, KEYS)
    assert created["output_file_id"] is created["completed_at"] is created["errors"] is None


@check("batches.create.metadata", "must", "free", "spec: Batch")
def test_metadata(server: Server, created: Json) -> None:
    """Metadata come back as they were given, at creation and later; lost batches are found so."""
    assert created["metadata"] == {"kind": "conformance"}
    assert server.batch(created["id"])["metadata"] == {"kind": "conformance"}


@check("batches.create.unknown-file", "should", "free", "observed")
def test_unknown_file(server: Server) -> None:
    """A file that does not exist is found out by validation: the batch is made, and fails."""
    batch = accepted(server.propose("file-none"))
    failed = server.ended(batch["id"])
    assert failed["status"] == "failed"
    assert "Cannot find file" in failed["errors"]["data"][0]["message"]


@check("batches.create.output-expires", "should", "free", "spec: createBatch")
def test_output_expires(server: Server, doomed_file: str) -> None:
    """A lifetime for the result files is accepted."""
    lifetime = {"anchor": "created_at", "seconds": 3600}
    accepted(server.propose(doomed_file, output_expires_after=lifetime))


_ENDPOINT: Json = {"endpoint": "/v1/conformance"}
_WINDOW: Json = {"completion_window": "48h"}
_REFUSED: Mapping[Check, tuple[Json]] = {
    Check(
        "batches.create.invalid-endpoint", "must", "free", "observed",
        "An endpoint without batches gets a 400.",
    ): (_ENDPOINT,),
    Check(
        "batches.create.invalid-window", "should", "free", "observed",
        "A window other than 24h gets a 400.",
    ): (_WINDOW,),
    Check(
        "batches.create.no-file", "must", "free", "spec: createBatch",
        "A batch without an input file gets a 400.",
    ): ({"input_file_id": None},),
    Check(
        "batches.create.no-endpoint", "must", "free", "spec: createBatch",
        "A batch without an endpoint gets a 400.",
    ): ({"endpoint": None},),
    Check(
        "batches.create.no-window", "should", "free", "spec: createBatch",
        "A batch without a window gets a 400.",
    ): ({"completion_window": None},),
    Check(
        "batches.create.metadata-of-a-list", "should", "free", "observed",
        "Metadata other than texts get a 400.",
    ): ({"metadata": {"tags": ["a"]}},),
    Check(
        "batches.create.metadata-of-17", "should", "free", "spec: Metadata",
        "More than 16 metadata get a 400.",
    ): ({"metadata": {f"k{n}": "v" for n in range(17)}},),
    Check(
        "batches.create.metadata-too-long", "should", "free", "spec: Metadata",
        "A metadata value of more than 512 characters gets a 400.",
    ): ({"metadata": {"k": "v" * 513}},),
}  # fmt: skip


@each("changes", _REFUSED)
def test_refused(server: Server, doomed_file: str, changes: Json) -> None:
    refused(server.propose(doomed_file, **changes), 400)


@check("batches.create.error-param", "should", "free", "observed")
def test_error_param(server: Server, doomed_file: str) -> None:
    """A refusal names the parameter and has a code: of the endpoint and the window at least."""
    for changes, param in ((_ENDPOINT, "endpoint"), (_WINDOW, "completion_window")):
        error = refused(server.propose(doomed_file, **changes), 400)
        assert (error.get("param"), error.get("code")) == (param, "invalid_value")
