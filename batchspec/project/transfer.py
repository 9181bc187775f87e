"""Taking a state out as one file, and putting one in."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from batchspec.config import SIMULATION
from batchspec.errors import RefusedError, StateError
from batchspec.state.housekeeping import StateReplaced
from batchspec.store.archive import (
    DATABASE,
    Manifest,
    private_file,
    read_manifest,
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
    return write_archive(project.directory, out, project.clock.now(), project.environment)


def push(project: "Project", file: Path, *, force: bool) -> Pushed:
    """Put a state in; see `ProjectState.push`."""
    with _reading(file) as source:  # before anything is made where the state would be
        found = read_manifest(source, str(file)).environment
    _check_environment(file, found, project.environment, force=force)
    with project.leased("state push") as store, scratch_folder(store.directory, "push") as copy:
        with _reading(file) as source:
            unpack_archive(source, copy, str(file))
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


@contextmanager
def _reading(file: Path) -> Generator[BinaryIO]:
    try:
        with file.open("rb") as source:
            yield source
    except OSError as error:
        raise StateError(f"{file} cannot be read: {error.strerror or error}.") from error


def _check_environment(file: Path, found: str, own: str, *, force: bool) -> None:
    """Refuse the state of another environment.

    Raises:
        RefusedError: One of the two is simulated, or nobody said that another one is meant.
    """
    if found == own:
        return
    told = f"{file} holds the state of environment {found!r}, and this is {own!r}"
    if SIMULATION in {found, own}:
        raise RefusedError(
            f"{told}: simulated answers and paid ones never mix, whatever is forced. Nothing was "
            "changed."
        )
    if not force:
        raise RefusedError(
            f"{told}: two copies of a state that both apply pay for the same rows twice. Nothing "
            f"was changed. Push it with `--env {found}`, or, where nothing applies to "
            f"{found!r} any more, with `--force`."
        )


def _check_sound(copy: Path, file: Path) -> None:
    open_database(copy / DATABASE).close()  # of an older version: brought up to this one
    problems = verify(copy)
    if problems:
        told = "\n".join(f"- {problem}" for problem in problems[:10])
        more = f"\n… and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise StateError(f"The state in {file} is broken; nothing was changed:\n{told}{more}")


def _back_up(project: "Project", store: StateStore) -> Path:
    """Keep the state that is replaced as an archive, which a forced push takes back."""
    now = project.clock.now()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    folder = store.directory / "backups"
    folder.mkdir(exist_ok=True, mode=0o700)
    path = folder / f"{stamp}-serial-{_serial(store)}.tar.zst"
    with private_file(path) as out:
        write_archive(store.directory, out, now, project.environment)
    return path


def _serial(store: StateStore) -> int:
    with store.reader() as reader:
        return reader.serial()


def _pushed(store: StateStore, backup: Path | None, *, changed: bool) -> Pushed:
    with store.reader() as reader:
        return Pushed(changed, reader.lineage, reader.serial(), backup)
