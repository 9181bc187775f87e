"""A directory belongs to one server process at a time."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class OccupiedError(Exception):
    """Another process serves the directory; `pid` is its number, if it can be known."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        named = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"{directory} is being served by {named}. Stop that one first, or name another "
            "directory: two servers would answer every request of a batch twice."
        )
        self.pid = pid


@contextmanager
def occupied(directory: Path) -> Generator[None]:
    """Hold a directory, made when missing, until the block or the process ends.

    Raises:
        OccupiedError: Another process holds it.
        OSError: It cannot be written to.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "simulator.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            # The system lets go of it when the process dies, whatever it dies of.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.pread(lock, 32, 0).strip()
            raise OccupiedError(directory, int(told) if told.isdigit() else None) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
