"""A state taken out as one file, and put in again."""

import io
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from worlds import World

from batchspec.errors import LockedError, RefusedError, StateError
from batchspec.store.archive import private_file, unpack_archive
from batchspec.store.verify import verify


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "one")
    yield world
    world.close()


def pull(world: World, path: Path) -> Path:
    with world.open() as project, private_file(path) as out:
        project.state.pull(out)
    return path


@pytest.fixture
def archive(world: World, tmp_path: Path) -> Path:
    """The state after one job was answered."""
    world.job("a", "b")
    world.apply()
    return pull(world, tmp_path / "state.tar.zst")


def push(world: World, path: Path, **options: bool) -> None:
    with world.open() as project:
        project.state.push(path, **options)


def test_a_moved_machine_goes_on_where_the_other_stopped(world: World, tmp_path: Path) -> None:
    """What is in flight is collected on the new one, and nothing is paid again."""
    world.job("a", "b")
    world.apply(detach=True)
    path = pull(world, tmp_path / "state.tar.zst")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shutil.rmtree(world.root / "state")
    push(world, path)
    assert verify(world.state) == []
    world.apply()
    assert world.created == 1
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_a_pull_while_somebody_writes_is_of_one_moment(world: World, tmp_path: Path) -> None:
    world.job("a")
    world.apply()
    with world.project().leased("apply") as store, store.transaction() as db:
        db.execute("UPDATE jobs SET address = 'half.done'")
        path = pull(world, tmp_path / "state.tar.zst")
        db.execute("UPDATE jobs SET address = 'm.j'")
    folder = tmp_path / "copy"
    folder.mkdir()
    with path.open("rb") as source:
        unpack_archive(source, folder, "it")
    assert verify(folder) == []
    with world.open() as project:
        assert project.state.jobs() == ["m.j"]


def test_a_later_moment_is_taken_and_the_one_before_is_kept(
    world: World, archive: Path, tmp_path: Path
) -> None:
    elsewhere = World(tmp_path / "two")
    push(elsewhere, archive)
    elsewhere.job("a", "b", "c")
    elsewhere.apply()
    later = pull(elsewhere, tmp_path / "later.tar.zst")
    elsewhere.close()
    with world.open() as project:
        done = project.state.push(later)
        assert done.changed
        assert done.backup is not None
        assert stat.S_IMODE(done.backup.stat().st_mode) == 0o600
        assert next(reversed(list(project.state.history()))).kind == "StateReplaced"
    assert verify(world.state) == []
    assert set(world.texts()) == {"a", "b", "c"}
    push(world, done.backup, force=True)
    assert verify(world.state) == []
    assert set(world.texts()) == {"a", "b"}


def test_the_same_copy_again_changes_nothing(world: World, archive: Path) -> None:
    with world.open() as project:
        assert not project.state.push(archive).changed
    assert not (world.state / "backups").exists()


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("other", "The copy is of another history"),
        ("older", "The copy is older"),
        ("fork", "Both the copy and the state were changed"),
    ],
)
def test_what_would_lose_something_is_refused(
    world: World, archive: Path, tmp_path: Path, why: str, told: str
) -> None:
    """`--force` takes it, and what was there is kept."""
    elsewhere = World(tmp_path / "two")
    pushed = archive
    if why == "other":
        elsewhere.job("x")
        elsewhere.apply()
        pushed = pull(elsewhere, tmp_path / "other.tar.zst")
    if why == "fork":
        push(elsewhere, archive)
        elsewhere.job("a", "b", "c", "d")
        elsewhere.apply()
        elsewhere.job("a", "b")
        elsewhere.apply()
        pushed = pull(elsewhere, tmp_path / "fork.tar.zst")
    elsewhere.close()
    if why != "other":
        world.job("a", "b", "e")
        world.apply()
    before = world.texts()
    with pytest.raises(RefusedError, match=told):
        push(world, pushed)
    assert world.texts() == before
    push(world, pushed, force=True)
    assert verify(world.state) == []
    with world.open() as project:
        (backup,) = (world.state / "backups").iterdir()
        project.state.push(backup, force=True)
    assert verify(world.state) == []
    assert world.texts() == before


# --- environments


def test_failure_36_another_environment_would_pay_for_what_is_in_flight_twice(
    world: World, tmp_path: Path
) -> None:
    """A copy knows whose it is; the one that refuses it is not even made."""
    world.job("a", "b")
    world.apply(detach=True)
    path = pull(world, tmp_path / "state.tar.zst")
    told = r"of environment 'default', and this is 'two': .* pay for the same rows twice"
    with world.open(environment="two") as project, pytest.raises(RefusedError, match=told):
        project.state.push(path)
    assert {folder.name for folder in (world.root / "state").iterdir()} == {"default"}
    with world.open(environment="two") as project:
        assert project.state.push(path, force=True).changed
        assert project.state.jobs() == ["m.j"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("source", "target"), [(True, False), (False, True)])
def test_simulated_and_paid_answers_never_mix(
    world: World, tmp_path: Path, source: bool, target: bool, force: bool
) -> None:
    world.job("a")
    path = tmp_path / "state.tar.zst"
    with world.open(simulate=source) as project:
        project.apply(project.plan())
        with private_file(path) as out:
            project.state.pull(out)
    with world.open(simulate=target) as project:
        with pytest.raises(RefusedError, match="simulated answers and paid ones never mix"):
            project.state.push(path, force=force)
        assert not project.directory.exists()


def test_failure_36_a_push_needs_the_lease(world: World, archive: Path) -> None:
    with world.project().leased("apply"), pytest.raises(LockedError):
        push(world, archive)


def test_a_plan_from_before_a_push_is_stale(world: World, archive: Path) -> None:
    with world.open() as project:
        before = project.reader().serial()
        project.state.push(archive, force=True)
        assert project.reader().serial() > before


# --- what is no archive


def packed(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return zstandard.compress(out.getvalue())


def manifest(database: int = 4, segments: str = "{}", form: int = 1) -> tuple[str, bytes]:
    text = f'"lineage": "x", "serial": 1, "database": {database}, "segments": {segments}'
    return "manifest.json", f'{{"format": {form}, "environment": "default", {text}}}'.encode()


def _link(kind: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        name, content = manifest(0)
        head = tarfile.TarInfo(name)
        head.size = len(content)
        tar.addfile(head, io.BytesIO(content))
        member = tarfile.TarInfo("batchspec.db")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    return zstandard.compress(out.getvalue())


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no archive of a state, or was cut off"),
    "text": (b"hello", "no archive of a state, or was cut off"),
    "other tar": (packed(("readme", b"x")), "holds 'readme'"),
    "no manifest": (packed(("batchspec.db", b"data")), "holds 'batchspec.db'"),
    "odd manifest": (packed(("manifest.json", b"[]")), "holds 'manifest.json'"),
    "traversal": (packed(manifest(), ("../../evil", b"data")), "holds '../../evil'"),
    "absolute": (packed(manifest(), ("/tmp/evil", b"data")), "holds '/tmp/evil'"),
    "negative": (packed(manifest(segments='{"-1": 4}')), "holds 'manifest.json'"),
    "other size": (packed(manifest(), ("batchspec.db", b"more data")), "holds 'batchspec.db'"),
    "twice": (packed(manifest(), *[("batchspec.db", b"data")] * 2), "holds 'batchspec.db'"),
    "symlink": (_link(tarfile.SYMTYPE), "holds 'batchspec.db'"),
    "hard link": (_link(tarfile.LNKTYPE), "holds 'batchspec.db'"),
    "missing": (packed(manifest(segments='{"1": 4}'), ("batchspec.db", b"data")), "lacks"),
    "newer format": (packed(manifest(form=2)), "another version of batchspec"),
    "huge": (packed(manifest(database=(1 << 40) - 1)), "has no room for it"),
}
NO_DATABASE = packed(manifest(), ("batchspec.db", b"data"))


@pytest.mark.damages_state
@pytest.mark.parametrize("why", HOSTILE)
def test_what_is_no_archive_is_not_unpacked(tmp_path: Path, why: str) -> None:
    content, told = HOSTILE[why]
    folder = tmp_path / "inner" / "most"
    folder.mkdir(parents=True)
    with pytest.raises(StateError, match=re.escape(told)):
        unpack_archive(io.BytesIO(content), folder, "it")
    found = {path.name for path in tmp_path.rglob("*")}
    assert found <= {"inner", "most", "artifacts", "batchspec.db"}


@pytest.mark.parametrize("content", [HOSTILE["traversal"][0], NO_DATABASE])
def test_what_is_no_archive_changes_nothing(
    world: World, archive: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "hostile.tar.zst"
    path.write_bytes(content)
    with pytest.raises(StateError):
        push(world, path, force=True)
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert not list((world.state / "tmp").iterdir())


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_an_archive_that_was_cut_off_changes_nothing(
    world: World, archive: Path, part: float
) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(StateError, match="cut off"):
        push(world, archive, force=True)


def test_a_broken_state_is_not_taken(
    world: World, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> list[str]:
        return ["item 3 has no conversation"]

    monkeypatch.setattr("batchspec.project.transfer.verify", broken)
    with pytest.raises(StateError, match="is broken; nothing was changed:\n- item 3 has no"):
        push(world, archive, force=True)


def test_a_push_that_fails_half_way_leaves_the_state_as_it_was(
    world: World, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one that writes removes the files it had put in place."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.job("a", "b", "c")
    world.apply()
    monkeypatch.setattr("batchspec.store.replace.sync_folder", full)
    with pytest.raises(StateError, match="full"):
        push(world, archive, force=True)
    monkeypatch.undo()
    assert verify(world.state) == []
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B", "c": "SAY C"}
