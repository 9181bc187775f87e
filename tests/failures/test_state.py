"""Failures of the state itself: unreadable, torn, of another history."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import World

from batchspec.errors import StateError
from batchspec.store.reader import StateReader
from batchspec.store.verify import verify

pytestmark = pytest.mark.damages_state


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world that may be damaged."""
    world = World(tmp_path)
    yield world
    world.close()


@pytest.mark.parametrize("how", ["garbage", "empty", "gone", "half"])
def test_failure_23_a_state_that_cannot_be_read_is_not_taken_for_none(
    world: World, how: str
) -> None:
    """Beginning anew would pay for everything again."""
    world.job("a", "b")
    world.apply()
    path = world.state / "batchspec.db"
    for beside in ("batchspec.db-wal", "batchspec.db-shm"):
        (world.state / beside).unlink(missing_ok=True)
    content = path.read_bytes()
    match how:
        case "gone":
            path.unlink()
        case "garbage":
            path.write_bytes(b"no database at all" * 100)
        case "empty":
            path.write_bytes(b"")
        case _:
            path.write_bytes(content[: len(content) // 2])
    broken = path.read_bytes() if path.exists() else None
    artifacts = sorted(p.name for p in (world.state / "artifacts").iterdir())
    with pytest.raises(StateError, match="Put back a copy"), world.open() as project:
        project.apply()
    assert world.created == 1
    assert (path.read_bytes() if path.exists() else None) == broken
    assert sorted(p.name for p in (world.state / "artifacts").iterdir()) == artifacts


def test_a_state_is_begun_anew_where_a_killed_process_left_an_empty_file(
    world: World,
) -> None:
    """Nothing can have been paid by then."""
    world.state.mkdir(parents=True)
    (world.state / "batchspec.db").touch(0o600)
    world.job("a")
    world.apply()
    assert verify(world.state) == []


def test_failure_24_a_torn_commit_is_undone_when_the_state_is_opened(
    world: World, tmp_path: Path
) -> None:
    """A machine that loses power in the middle of a commit leaves half of it in the log."""
    world.job("a")
    world.apply(detach=True)
    with world.open() as project, project.leased("test") as store:
        with store.transaction() as db:
            db.execute("UPDATE jobs SET address = 'lost.j'")
        torn = (world.state / "batchspec.db-wal").read_bytes()[:-100]
        content = (world.state / "batchspec.db").read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "batchspec.db").write_bytes(content)
    (copy / "batchspec.db-wal").write_bytes(torn)
    (copy / "artifacts").symlink_to(world.state / "artifacts")
    assert verify(copy) == []
    with StateReader(copy) as reader:
        assert list(reader.jobs()) == ["m.j"]
