"""What every answer has in common."""

import httpx2
import pytest

from batchspec.conformance.checks import Check, check, each
from batchspec.conformance.server import Server, missing, refused

_ENVELOPE = ("message", "type", "param", "code")
_SPEC = "spec: ErrorResponse"
_UNKNOWN = {
    Check(
        "errors.unknown-batch-404", "must", "read", _SPEC,
        "An unknown batch is answered with 404.",
    ): ("GET", "/batches/batch_none"),
    Check(
        "errors.unknown-batch-cancel-404", "must", "read", _SPEC,
        "Cancelling an unknown batch is answered with 404.",
    ): ("POST", "/batches/batch_none/cancel"),
    Check(
        "errors.unknown-file-404", "must", "read", _SPEC,
        "An unknown file is answered with 404.",
    ): ("GET", "/files/file-none"),
    Check(
        "errors.unknown-content-404", "must", "read", _SPEC,
        "The content of an unknown file is answered with 404.",
    ): ("GET", "/files/file-none/content"),
    Check(
        "errors.unknown-file-delete-404", "must", "read", _SPEC,
        "Deleting an unknown file is answered with 404.",
    ): ("DELETE", "/files/file-none"),
    Check(
        "errors.unknown-route-404", "should", "read", _SPEC,
        "An unknown path is answered with 404.",
    ): ("GET", "/conformance/none"),
}  # fmt: skip


@each("method, path", _UNKNOWN)
def test_unknown(server: Server, method: str, path: str) -> None:
    error = refused(server.request(method, path), 404)
    assert isinstance(error.get("message"), str)


@check("errors.envelope", "should", "read", "spec: Error")
def test_envelope(server: Server) -> None:
    """An error has message, type, param and code, with null where there is nothing to say."""
    error = refused(server.request("GET", "/batches/batch_none"), 404)
    assert not missing(error, _ENVELOPE)
    assert error["type"] == "invalid_request_error"


@check("errors.json", "must", "read", "spec: ErrorResponse")
def test_errors_are_json(server: Server) -> None:
    """An error is sent as JSON and says so."""
    response = server.request("GET", "/batches/batch_none")
    assert response.headers.get("content-type", "").startswith("application/json")
    assert response.json()


@check("errors.body-not-json", "should", "read", "observed")
def test_body_not_json(server: Server) -> None:
    """A body that is no JSON is answered with 400."""
    headers = {"content-type": "application/json"}
    refused(server.request("POST", "/batches", content=b"{", headers=headers), 400)


@check("errors.no-key-401", "should", "read", "guide: authentication")
def test_no_key(server: Server) -> None:
    """A call without a key is answered with 401."""
    with httpx2.Client(timeout=60) as stranger:
        refused(stranger.get(f"{server.target.base_url}/batches"), 401)


@check("errors.wrong-key-401", "must", "read", "guide: authentication")
def test_wrong_key(server: Server) -> None:
    """A wrong key is answered with 401, where keys are asked for."""
    if server.target.api_key is None:
        pytest.skip("no key is in use: --api-key-env names one")
    with httpx2.Client(headers={"authorization": "Bearer wrong"}, timeout=60) as stranger:
        refused(stranger.get(f"{server.target.base_url}/batches"), 401)


@check("headers.request-id", "should", "read", "guide: debugging requests")
def test_request_id(server: Server) -> None:
    """Every answer carries an x-request-id, and each another one."""
    paths = "/batches", "/batches/batch_none"
    ids = [server.request("GET", path).headers.get("x-request-id") for path in paths]
    assert None not in ids
    assert ids[0] != ids[1]
