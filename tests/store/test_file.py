"""The state file itself: newer ones, damaged ones, full disks."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from worlds import check_state

from batchspec.errors import StateError
from batchspec.ids import JobAddress
from batchspec.store.reader import StateReader
from batchspec.store.schema import migrations, open_database
from batchspec.store.sqlite import StateStore

from .conftest import Time
from .shop import agree, answer, collect, phases, send, shown

OpenStore = Callable[[], StateStore]


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [number for number, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_state_of_a_newer_version_is_refused_and_not_touched(
    open_store: OpenStore, directory: Path, time: Time
) -> None:
    open_store().close()
    path = directory / "batchspec.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    for opening in (lambda: StateStore(directory, time), lambda: StateReader(directory)):
        with pytest.raises(StateError, match=r"newer batchspec \(schema 99"):
            opening()
    assert path.read_bytes() == before
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {migrations()[-1][0]}")
    db.close()


@pytest.mark.damages_state
def test_an_older_state_is_not_read_before_it_is_brought_up_to_date(directory: Path) -> None:
    directory.mkdir(parents=True)
    sqlite3.connect(directory / "batchspec.db").close()
    (directory / "batchspec.db").touch()
    with pytest.raises(StateError, match="Run `batchspec plan` once"):
        StateReader(directory)


def test_without_a_state_there_is_nothing_to_read(directory: Path) -> None:
    with pytest.raises(StateError, match="no state at"):
        StateReader(directory)


@pytest.mark.damages_state
def test_a_file_that_is_no_state_is_told(directory: Path, time: Time) -> None:
    content = b"no database at all, but long enough" * 200
    directory.mkdir(parents=True)
    (directory / "batchspec.db").write_bytes(content)
    with pytest.raises(StateError, match="damaged or no state file") as raised:
        StateStore(directory, time)
    assert "\n" not in str(raised.value)


def test_a_state_that_is_cut_short_is_told(
    open_store: OpenStore, directory: Path, time: Time
) -> None:
    store = open_store()
    store.acquire("me", "apply")
    agree(store, "p1", {"m.j": {str(n): f"text {n}" for n in range(2000)}})
    store.close()
    path = directory / "batchspec.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StateError, match="damaged"):
        read_all(directory, time)
    path.write_bytes(whole)


def read_all(directory: Path, time: Time) -> None:
    store = StateStore(directory, time)
    try:
        store.acquire("other", "apply")
        store.progress()
        with store.reader() as reader:
            list(reader.items(JobAddress("m.j")))
    finally:
        store.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, time: Time) -> None:
    (tmp_path / "state").write_text("a file in the way")
    with pytest.raises(StateError, match="cannot be used"):
        StateStore(tmp_path / "state" / "default", time)


def test_what_a_killed_process_left_is_removed(open_store: OpenStore, directory: Path) -> None:
    """Scratch of the dead, and bodies nothing points at; nothing else."""
    first = open_store()
    first.acquire("one", "apply")
    agree(first, "p1", {"m.j": {"a": "A"}})
    answer(first, "b1")
    orphan = first.open_segment("replies")
    orphan.append(b"x")
    (directory / "tmp" / "batchspec-b1.jsonl").write_text("left")
    (directory / "tmp" / "4194304-plan").mkdir()
    mine = first.draft("p2")
    first.release()
    open_store().acquire("two", "apply")
    assert [path.name for path in (directory / "tmp").iterdir()] == [f"{os.getpid()}-p2"]
    assert not orphan.path.exists()
    assert shown(first) == {"a": ("succeeded", b"reply", False)}
    orphan.abandon()
    mine.discard()


# --- full disks


def limit(store: StateStore, more: int) -> None:
    """Let the state file grow by a few pages only."""
    (pages,) = store.db.execute("PRAGMA page_count").fetchone()
    store.db.execute(f"PRAGMA max_page_count = {pages + more}")


def test_a_state_that_cannot_grow_is_told_and_goes_on_once_it_can(store: StateStore) -> None:
    agree(store, "p1", {"m.j": {"a": "A"}})
    limit(store, 1)
    rows = {str(n): f"text {n}" for n in range(3000)}
    with pytest.raises(StateError, match=r"is full\. Nothing recorded is lost: free some space"):
        agree(store, "p2", {"m.j": rows})
    assert phases(store) == {"pending": 1}
    limit(store, 100_000)
    agree(store, "p3", {"m.j": rows})
    assert phases(store) == {"pending": 3000}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return path
    return path


def test_a_full_disk_costs_no_answer(small_disk: Path, time: Time) -> None:
    """Planning, agreeing and settling each say so; afterwards everything goes on."""
    directory = small_disk / "default"
    store = StateStore(directory, time)
    store.initialise("l")
    store.acquire("me", "apply")
    agree(store, "p1", {"m.j": {"a": "A", "b": "B"}})
    batch = send(store)
    filler = fill(small_disk)
    noise = os.urandom(300_000).hex()
    with pytest.raises(StateError, match="is full"):
        agree(store, "p2", {"m.j": {"a": "A", "b": "B", "c": noise}})
    with pytest.raises(StateError, match="is full"):
        collect(store, batch, text=noise.encode())
    assert phases(store) == {"batched": 2}
    filler.unlink()
    collect(store, batch)
    assert phases(store) == {"final": 2}
    store.close()
    check_state(directory)


def test_a_disk_too_small_for_a_state_is_told(small_disk: Path, time: Time) -> None:
    """Wherever it runs out: opening, taking the lease or agreeing; and it goes on with space."""
    for room in range(0, 400_000, 50_000):
        directory = small_disk / f"room-{room}"
        spare = small_disk / "spare"
        spare.write_bytes(b"x" * room)
        filler = fill(small_disk)
        spare.unlink()
        with suppress(StateError):
            use(directory, time)
        filler.unlink()
        use(directory, time)
        check_state(directory)
        shutil.rmtree(directory)


def use(directory: Path, time: Time) -> None:
    store = StateStore(directory, time)
    try:
        store.initialise("l")
        store.acquire("me", "apply")
        with store.reader() as reader:
            plan = f"p{reader.serial()}"
        agree(store, plan, {"m.j": {"a": "A", "b": "B"}})
    finally:
        store.close()


def test_a_reader_cannot_write(store: StateStore) -> None:
    with store.reader() as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.db.execute("DELETE FROM items")


def test_opening_twice_migrates_once(directory: Path, time: Time) -> None:
    directory.mkdir(parents=True)
    path = directory / "batchspec.db"

    def made() -> list[tuple[object, ...]]:
        with closing(open_database(path)) as db:
            return [
                *db.execute("SELECT name, sql FROM sqlite_schema"),
                *db.execute("PRAGMA user_version"),
            ]

    first = made()
    assert first[-1][0]
    assert made() == first
