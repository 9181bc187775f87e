"""A better way to fingerprint costs nothing: what is recorded is fingerprinted again."""

import hashlib
from typing import Any

import pytest
from worlds import World

from batchspec.errors import StateError
from batchspec.fingerprint import VERSION, fingerprint
from batchspec.ids import BatchId, JobAddress
from batchspec.plan.changes import Kind
from batchspec.store.sqlite import StateStore
from store.shop import agree, answer, collect, drafted, intend, send


def better(contract: bytes, messages: bytes, scope: str | None, sample: int) -> bytes:
    """Another algorithm over the same payload."""
    told = b"better" + contract + messages + repr((scope, sample)).encode()
    return hashlib.sha256(told).digest()


def fingerprints(store: StateStore) -> list[bytes]:
    return [row[0] for row in store.db.execute("SELECT fingerprint FROM conversations ORDER BY id")]


def test_the_same_algorithm_changes_nothing(store: StateStore) -> None:
    """So the payload on record is what was hashed."""
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    before = fingerprints(store)
    assert store.refingerprint(fingerprint, VERSION) == 2
    assert fingerprints(store) == before


def test_after_another_algorithm_and_back_everything_is_known(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    answer(store, "b1")
    before = fingerprints(store)
    store.refingerprint(better, 2)
    assert store.fingerprints() == 2
    assert not set(fingerprints(store)) & set(before)
    store.refingerprint(fingerprint, VERSION)
    draft, _, kinds = drafted(store, "p2", {"m.j": {"a": "A", "b": "B"}})
    draft.discard()
    assert kinds == [Kind.KEEP, Kind.KEEP]


def test_members_of_open_batches_keep_the_names_they_were_sent_with(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    batch = send(store)
    names = [request.custom_id for request in store.requests(batch)]
    store.refingerprint(better, 2)
    with store.collecting(batch, []) as collection:
        assert list(collection.members()) == names
    collect(store, batch)
    with store.reader() as reader:
        assert {item.outcome for item in reader.items(JobAddress("m.j"))} == {"succeeded"}


def test_what_was_put_together_and_not_sent_is_put_together_anew(store: StateStore) -> None:
    """Its input file would carry the new names."""
    agree(store, "p1", {"m.j": {"a": "A"}})
    batch = intend(store)
    store.refingerprint(better, 2)
    assert store.batch(BatchId(batch)).phase == "rejected"
    assert store.lanes(9e9)[0].pending == 1


def test_a_further_turn_is_found_by_its_first(world: World) -> None:
    """The fingerprint is that of the first turn, whatever was said since."""
    world.spec("""
        @tool
        def look(ctx: RunContext, page: int) -> str:
            return f"page {page}"

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                prompt="read {id}", tools=[look])
    """)

    def model(body: dict[str, Any]) -> Any:
        if len(body["messages"]) > 1:
            return "done"
        return {"role": "assistant", "tool_calls": [{"name": "look", "arguments": {"page": 1}}]}

    world.model = model
    world.apply()
    with world.open() as project, project.leased("test") as store:
        before = fingerprints(store)
        store.refingerprint(better, 2)
        store.refingerprint(fingerprint, VERSION)
        assert fingerprints(store) == before
    assert not world.plan().can_apply


def test_a_state_of_a_newer_algorithm_is_refused(world: World) -> None:
    world.job("a")
    world.apply()
    with world.open() as project, project.leased("test") as store:
        store.refingerprint(better, VERSION + 1)
    with pytest.raises(StateError, match="newer batchspec"):
        world.plan()
    with world.open() as project:
        project._store = StateStore(project.directory, project.clock.now)
        with project.leased("test") as store:
            store.refingerprint(fingerprint, VERSION)
        project._store.close()
    assert not world.plan().can_apply


def test_an_older_algorithm_is_replaced_when_the_state_is_opened(world: World) -> None:
    world.job("a")
    world.apply()
    with world.open() as project, project.leased("test") as store:
        store.refingerprint(better, VERSION - 1)
    assert not world.plan().can_apply
    assert world.created == 1
