"""Files that change in every way files do: noticed soon, and only where contents differ."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import anyio
import pytest

from batchspec.errors import SpecError
from batchspec.load.imports import Imports
from batchspec.watch.files import Changed, Contents, Files, appearing, sizes
from batchspec.watch.places import Places
from batchspec.watch.protocol import Watched
from batchspec.watch.sources import watched
from tests.worlds import World

LONG_AGO = 1_000_000_000


def write(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rename_in(path: Path, text: str = "x") -> None:
    """Write a file as careful programs do."""
    hidden = path.with_name(f".{path.name}.part")
    write(hidden, text)
    hidden.rename(path)


def swap(link: Path, target: str) -> None:
    """Let a link lead elsewhere, at once."""
    other = link.with_name("other")
    other.symlink_to(target)
    other.rename(link)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchspec.watch.files.QUIET_MS", 20)
    monkeypatch.setattr("batchspec.watch.files._TURN_MS", 100)


def watch(files: Files, *steps: Callable[[], object]) -> list[Changed]:
    """Take steps, each once the one before was noticed; returns what was."""
    noticed: list[Changed] = []

    async def main() -> None:
        stop = anyio.Event()
        left = list(steps)
        files.look()
        with anyio.fail_after(25):
            async with anyio.create_task_group() as group:

                async def follow() -> None:
                    async for changed in files.changes(stop):
                        noticed.append(changed)
                        if not left:
                            return
                        left.pop(0)()

                group.start_soon(follow)
                # Whenever it begins to watch, it looks.
                left.pop(0)()

    anyio.run(main)
    return noticed


def test_a_folder_below_which_files_come_and_go(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "a.txt")
    files = Files(Watched(data=(f"{data}/**/*.txt",)))
    noticed = watch(
        files,
        lambda: rename_in(data / "b.txt"),
        lambda: write(data / "new" / "deep" / "c.txt"),
        lambda: write(data / "new" / "deep" / "d.txt"),
        lambda: (data / "new" / "deep" / "d.txt").rename(data / "e.txt"),
        lambda: shutil.move(data, tmp_path / "gone"),
        lambda: shutil.move(tmp_path / "gone", data),
        lambda: write(data / "new" / "deep" / "c.txt", "y"),
    )
    assert noticed == [Changed(code=False, data=True)] * 7


def test_a_file_that_is_appended_to_rotated_and_led_to_by_links(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write(tmp_path / version / "t.jsonl", f"{version}\n")
    (tmp_path / "current").symlink_to("v1")
    (tmp_path / "data").symlink_to("current")
    name = tmp_path / "data" / "t.jsonl"

    def append() -> None:
        with name.open("a") as file:
            file.write("more\n")

    noticed = watch(
        Files(Watched(data=(str(name),))),
        append,
        lambda: swap(tmp_path / "current", "v2"),
        append,
        lambda: swap(tmp_path / "data", "v1"),
        lambda: (name.rename(name.with_suffix(".old")), write(name, "new\n")),
        append,
    )
    assert noticed == [Changed(code=False, data=True)] * 6


def test_a_file_that_is_a_link_changes_where_it_leads(tmp_path: Path) -> None:
    write(tmp_path / "far" / "rows.csv")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").symlink_to(tmp_path / "far" / "rows.csv")
    noticed = watch(
        Files(Watched(data=(str(tmp_path / "data" / "t.csv"),))),
        lambda: write(tmp_path / "far" / "rows.csv", "y"),
    )
    assert noticed == [Changed(code=False, data=True)]


def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    files = Files(Watched(code=(f"{tmp_path}/specs/*.py",), data=(f"{tmp_path}/a/b/*.csv",)))
    noticed = watch(
        files, lambda: write(tmp_path / "a" / "b" / "t.csv"), lambda: write(tmp_path / "specs/m.py")
    )
    assert noticed == [Changed(code=False, data=True), Changed(code=True, data=False)]


def test_what_editors_leave_beside_a_file_is_no_change(tmp_path: Path) -> None:
    name = tmp_path / "t.csv"
    write(name)
    places = Places.of([str(name), f"{tmp_path}/x/*.txt", f"{tmp_path}/.env.csv"])
    for other in (".t.csv.swp", "t.csv~", "4913", ".#t.csv"):
        assert not places.concerns(str(tmp_path / other)), other
    for own in ("t.csv", "x", ".env.csv"):
        assert places.concerns(str(tmp_path / own)), own
    assert not places.concerns(str(tmp_path.parent / "elsewhere"))
    assert places == Places.of([f"{tmp_path}/.env.csv", f"{tmp_path}/x/*.txt", str(name)])


def test_a_folder_made_anew_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    places = Places.of([f"{tmp_path}/x/*.txt"])
    assert str(tmp_path / "x") in places.folders
    (tmp_path / "x").rename(tmp_path / "y")
    (tmp_path / "x").mkdir()
    assert Places.of([f"{tmp_path}/x/*.txt"]) != places
    (tmp_path / "x").rmdir()
    assert str(tmp_path / "x") not in Places.of([f"{tmp_path}/x/*.txt"]).folders


def test_links_that_go_in_circles_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    files = Files(Watched(data=(str(tmp_path / "a" / "t.csv"),)))
    assert not files.look().data
    assert str(tmp_path) in Places.of(files.watched.data).folders


def test_the_files_prompts_point_at_are_known_once_rows_were_planned(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.spec(
        """
        def look(row):
            picture = Image(data=b"GIF89a") if row["id"] == "c" else Image(f"pics/{row['id']}")
            return [Message(role="user", content=["what is it?", picture])]

        ids = [{"id": one} for one in ("a/[x].gif", "b.gif", "c")]
        j = Job(model="openai:gpt-5-mini", rows=rows.inline(ids), prompt=look)
        """
    )
    write(tmp_path / "pics" / "a" / "[x].gif", "GIF89a")
    with world.open() as project:
        assert not watched(project, project.desired).attached
        with pytest.raises(SpecError, match=r"pics/b\.gif"):
            project.plan(refresh=False)
        # Also of one that was not there: it is looked for again once it is.
        files = Files(watched(project, project.desired))
        assert files.watched.attached == (f"{tmp_path}/pics/*.gif", f"{tmp_path}/pics/a/*.gif")
        files.look()
        write(tmp_path / "pics" / "b.gif", "GIF89a")
        assert files.look().data
        assert project.plan(refresh=False).requests == 1, "the same picture three times"
        write(tmp_path / "pics" / "a" / "[x].gif", "GIF89a, another one")
        assert files.look() == Changed(code=False, data=True)
        assert project.plan(refresh=False).requests == 2
    world.close()


def test_names_that_are_no_utf_8_keep_nobody_from_hearing_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchspec.watch.files.LOOK_AGAIN", 0.3)  # of its folder nobody tells
    odd = Path(os.fsdecode(b"\xff\xfe.txt"))
    write(tmp_path / "docs" / "a.txt")
    noticed = watch(
        Files(Watched(data=(f"{tmp_path}/docs/**/*.txt",))),
        lambda: write(tmp_path / "docs" / odd),
        lambda: write(tmp_path / "docs" / "b.txt"),
        lambda: write(tmp_path / "docs" / odd.stem / "c.txt"),
        lambda: write(tmp_path / "docs" / odd.stem / "c.txt", "other"),
        (tmp_path / "docs" / odd).unlink,
        lambda: write(tmp_path / "docs" / "b.txt", "other"),
    )
    assert noticed == [Changed(code=False, data=True)] * 6


def test_what_appears_in_a_folder_that_was_made_anew_is_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchspec.watch.files.LOOK_AGAIN", 0.3)
    folder = tmp_path / "pending[1]"
    write(folder / "one.approved")
    write(folder / os.fsdecode(b"\xff.half"))

    def anew() -> None:
        shutil.rmtree(folder)
        write(folder / "two.plan")
        write(folder / "two.approved")

    async def main() -> int:
        stop, steps = anyio.Event(), [anew, lambda: rename_in(folder / "three.approved")]
        with anyio.fail_after(20):
            heard = 0
            async for _ in appearing(folder, ".approved", stop):
                heard += 1
                if not steps:
                    break
                steps.pop(0)()
        return heard

    assert anyio.run(main) == 3


# --- contents


def test_only_other_contents_are_a_change(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(path)
    files = Files(Watched(data=(str(path),)))
    assert files.look().data
    os.utime(path)
    assert not files.look().data
    # Of the same size, within one tick of the disk's clock, and as old as before.
    stat = path.stat()
    path.write_text("y")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert files.look().data
    path.unlink()
    assert files.look().data
    write(path, "y")
    assert files.look().data


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(path)
    contents = Contents()
    (first,) = contents.of([str(path)]).values()
    assert not contents._known, "it was written just now, and may be once more"
    contents._known[str(path)] = (_stat_of(path), b"as it was")
    assert contents.of([str(path)]) == {str(path): b"as it was"}
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert contents.of([str(path)]) == {str(path): first}
    contents.keep([])
    assert not contents._known


def _stat_of(path: Path) -> tuple[int, int, int, int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns, stat.st_dev


@pytest.mark.parametrize("what", ["new", "other", "gone"])
def test_images_count_by_size_and_time(tmp_path: Path, what: str) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / "notes.txt")
    files = Files(Watched(attached=(f"{tmp_path}/*.png",)))
    files.look()
    write(tmp_path / "notes.txt", "other")
    assert not files.look().data
    match what:
        case "new":
            write(tmp_path / "b.png")
        case "other":
            write(tmp_path / "a.png", "other")
        case _:
            (tmp_path / "a.png").unlink()
    assert files.look() == Changed(code=False, data=True)
    assert list(sizes(files.watched.attached)) == [f"{tmp_path}/*.png"]


def test_files_looked_after_from_now_on_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("a.png", "t.csv"):
        write(tmp_path / name)
    files = Files(Watched(data=(f"{tmp_path}/t.csv",)))
    files.look()
    both = Watched(data=files.watched.data, attached=(f"{tmp_path}/*.png",))
    assert files.watch_for(both) == Changed(code=False, data=False)
    write(tmp_path / "a.png", "other")
    assert files.watch_for(both) == Changed(code=False, data=True)


@pytest.mark.parametrize("deed", ["added", "removed", "changed"])
def test_what_changed_while_specs_were_loaded_is_told_when_they_are(
    tmp_path: Path, deed: str
) -> None:
    """The interpreter may have read them before or after."""
    specs = tmp_path / "specs"
    write(specs / "m.py")
    files = Files(Watched(code=(f"{specs}/*.py",)))
    files.look()
    if deed == "removed":
        (specs / "m.py").unlink()
    else:
        write(specs / ("n.py" if deed == "added" else "m.py"), "other")
    write(tmp_path / "t.csv")
    more = Watched(code=files.watched.code, data=(f"{tmp_path}/t.csv",))
    assert files.watch_for(more) == Changed(code=True, data=False)
    assert files.watch_for(more) == Changed(code=False, data=False)


def test_what_changes_while_it_is_looked_at_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text("1")
    new.write_text("1")
    files = Files(Watched(code=(str(old),)))
    files.look()
    read, looks = Contents.of, list[None]()

    def of(contents: Contents, names: Iterable[str]) -> dict[str, bytes]:
        found = read(contents, names)
        looks.append(None)
        if len(looks) == 2:  # code and data were read as they were
            old.write_text("22")
        return found

    monkeypatch.setattr(Contents, "of", of)
    assert files.watch_for(Watched(code=(str(old), str(new)))) == Changed(code=True, data=False)
    assert files.look() == Changed(code=False, data=False)


def test_a_module_that_changed_since_it_was_imported_is_told(tmp_path: Path) -> None:
    """Nobody had looked after it before, as it was not known that specs import it."""
    write(tmp_path / "specs" / "m.py", "from shared import WORD\n")
    write(tmp_path / "shared.py", "WORD = 1\n")
    imports = Imports(tmp_path, "specs")
    with imports():
        imports.load("m")
    names = tuple(str(file) for file in imports.files())
    assert imports.read().keys() == set(names)
    found = Watched(code=names, read=imports.read())
    assert Files(Watched()).watch_for(found) == Changed(code=False, data=False)
    write(tmp_path / "shared.py", "WORD = 2\n")
    assert Files(Watched()).watch_for(found) == Changed(code=True, data=False)
