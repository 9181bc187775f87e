"""New outcomes of old replies, however many there are."""

from collections.abc import Iterator

from batchspec.ids import ConversationId, JobAddress
from batchspec.state.events import RepliesRejudged
from batchspec.state.stored import Verdict
from batchspec.store.sqlite import StateStore

from .shop import agree, answer

JOB = JobAddress("m.j")


def test_changes_wait_on_disk_and_are_recorded_at_once(store: StateStore) -> None:
    """A job of a million rows may change all of them."""
    agree(store, "p1", {"m.j": {"a": "A"}})
    answer(store, "b1")
    serial = store.reader().serial()
    most = 0

    def changes() -> Iterator[Verdict]:
        nonlocal most
        for number in range(1, 3001):
            on_disk = store.db.execute("SELECT COUNT(*) FROM temp.verdicts").fetchone()[0]
            most = max(most, number - 1 - on_disk)
            assert store.reader().serial() == serial
            yield Verdict("failed", "why", 0, ConversationId(number))

    event = store.rejudge(
        JOB,
        changes(),
        lambda changed: RepliesRejudged(job=JOB, replies=1, changed=changed, at=9.0),
    )
    assert event == RepliesRejudged(job=JOB, replies=1, changed=1, at=9.0)
    assert most < 1000
    assert store.reader().serial() == serial + 1
    with store.reader() as reader:
        assert [(i.outcome, i.reason) for i in reader.items(JOB)] == [("failed", "why")]
