"""Listing batches: how a client finds what it lost."""

from collections.abc import Mapping

import pytest

from batchspec.conformance.bodies import Json
from batchspec.conformance.checks import Check, check, each
from batchspec.conformance.scenarios import line
from batchspec.conformance.server import Server, accepted, encoded, missing, refused


@pytest.fixture(scope="module")
def three(server: Server) -> list[str]:
    """Three batches that cost nothing, oldest first."""
    made: list[str] = []
    file = server.upload(encoded([line(server.target, "good"), b"{"]))
    for number in range(3):
        batch = accepted(server.propose(file["id"], metadata={"number": str(number)}))
        made.append(str(batch["id"]))
        server.timeline.sleep(1.1)  # times are whole seconds
    return made


@check("list.shape", "must", "read", "spec: ListBatchesResponse")
def test_shape(server: Server) -> None:
    """A list of batches has object, data and has_more."""
    page = server.get("/batches")
    assert not missing(page, ("object", "data", "has_more"))
    assert page["object"] == "list"
    assert isinstance(page["data"], list)


@check("list.ids", "should", "free", "spec: ListBatchesResponse")
def test_ids(server: Server, three: list[str]) -> None:
    """A list names its first and its last id."""
    page = server.get("/batches", limit=2)
    assert three
    ids = [batch["id"] for batch in page["data"]]
    assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])


@check("list.contains-new", "must", "free", "spec: listBatches")
def test_new_batches_are_listed(server: Server, three: list[str]) -> None:
    """A batch is in the list soon after its creation, with its metadata."""
    listed = {batch["id"]: batch for batch in server.get("/batches", limit=100)["data"]}
    assert set(three) <= set(listed)
    assert [listed[id_]["metadata"]["number"] for id_ in three] == ["0", "1", "2"]


@check("list.newest-first", "should", "free", "spec: listBatches")
def test_newest_first(server: Server, three: list[str]) -> None:
    """Batches are listed newest first."""
    batches = server.get("/batches", limit=100)["data"]
    assert [batch["id"] for batch in batches if batch["id"] in three] == three[::-1]
    times = [batch["created_at"] for batch in batches]
    assert times == sorted(times, reverse=True)


@check("list.cursor", "must", "free", "spec: listBatches")
def test_cursor(server: Server, three: list[str]) -> None:
    """`after` continues behind a batch: nothing comes twice and nothing is left out."""
    found: list[str] = []
    page: Json = {"has_more": True}
    while page["has_more"] and not set(three) <= set(found):
        cursor = {"after": found[-1]} if found else {}
        page = server.get("/batches", limit=1, **cursor)
        assert len(page["data"]) == 1
        found.append(page["data"][0]["id"])
    assert len(set(found)) == len(found)
    assert [id_ for id_ in found if id_ in three] == three[::-1]


@check("list.end", "must", "free", "spec: listBatches")
def test_end(server: Server, three: list[str]) -> None:
    """The last page says that nothing follows."""
    page = server.get("/batches", limit=100)
    assert three
    while page["has_more"]:
        page = server.get("/batches", limit=100, after=page["data"][-1]["id"])
    if page["data"]:
        last = server.get("/batches", limit=100, after=page["data"][-1]["id"])
        assert (last["data"], last["has_more"]) == ([], False)


@check("list.limit-0", "cosmetic", "read", "observed")
def test_limit_zero(server: Server) -> None:
    """A limit of 0 is accepted and gives an empty page."""
    page = server.get("/batches", limit=0)
    assert page["data"] == []
    assert page.get("first_id") is page.get("last_id") is None


_BAD_LIMITS: Mapping[Check, tuple[str]] = {
    Check(f"list.limit-{name}", "should", "read", "observed", reason): (limit,)
    for name, limit, reason in (
        ("101", "101", "A limit above 100 gets a 400."),
        ("negative", "-1", "A limit below 0 gets a 400."),
        ("word", "many", "A limit that is no number gets a 400."),
    )
}


@each("limit", _BAD_LIMITS)
def test_bad_limit(server: Server, limit: str) -> None:
    refused(server.request("GET", "/batches", params={"limit": limit}), 400)
