"""Taking a state out as one file, and putting one in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from batchspec.errors import StateError
from batchspec.state.housekeeping import StateReplaced
from batchspec.store.archive import (
    DATABASE,
    Manifest,
    private_file,
    scratch_folder,
    unpack_archive,
    write_archive,
)
from batchspec.store.reader import StateReader
from batchspec.store.replace import check_descent, is_empty, replace_state
from batchspec.store.schema import open_database
from batchspec.store.sqlite import StateStore
from batchspec.store.verify import verify

if TYPE_CHECKING:
    from batchspec.project.project import Project


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of a push.

    Attributes:
        changed: False: the state was that very copy already.
        lineage: Of the state now.
        serial: Of the state now.
        backup: The archive of the state that was replaced; None: it was empty.
    """

    changed: bool
    lineage: str
    serial: int
    backup: Path | None


def pull(project: "Project", out: BinaryIO) -> Manifest:
    """Write the state to a stream; see `ProjectState.pull`."""
    return write_archive(project.directory, out, project.clock.now())


def push(project: "Project", file: Path, *, force: bool) -> Pushed:
    """Put a state in; see `ProjectState.push`."""
    with project.leased("state push") as store, scratch_folder(store.directory, "push") as copy:
        try:
            with file.open("rb") as source:
                unpack_archive(source, copy, str(file))
        except OSError as error:
            raise StateError(f"{file} cannot be read: {error.strerror or error}.") from error
        _check_sound(copy, file)
        if not force and not check_descent(store, copy):
            return _pushed(store, None, changed=False)
        backup = None if is_empty(store.db) else _back_up(project, store)
        with StateReader(copy) as reader:
            lineage, serial = reader.lineage, reader.serial()
        event = StateReplaced(
            lineage=lineage,
            serial=serial,
            before=_serial(store),
            backup="" if backup is None else str(backup.relative_to(store.directory)),
            at=project.clock.now(),
        )
        replace_state(store, copy, event)
        return _pushed(store, backup, changed=True)


def _check_sound(copy: Path, file: Path) -> None:
    open_database(copy / DATABASE).close()  # of an older version: brought up to this one
    problems = verify(copy)
    if problems:
        told = "\n".join(f"- {problem}" for problem in problems[:10])
        more = f"\n… and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise StateError(f"The state in {file} is broken; nothing was changed:\n{told}{more}")


def _back_up(project: "Project", store: StateStore) -> Path:
    """Keep the state that is replaced as an archive, which can be pushed again."""
    now = project.clock.now()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    folder = store.directory / "backups"
    folder.mkdir(exist_ok=True, mode=0o700)
    path = folder / f"{stamp}-serial-{_serial(store)}.tar.zst"
    with private_file(path) as out:
        write_archive(store.directory, out, now)
    return path


def _serial(store: StateStore) -> int:
    with store.reader() as reader:
        return reader.serial()


def _pushed(store: StateStore, backup: Path | None, *, changed: bool) -> Pushed:
    with store.reader() as reader:
        return Pushed(changed, reader.lineage, reader.serial(), backup)
