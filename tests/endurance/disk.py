"""A disk that is full for this process, and for none other."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


class FullDisk:
    """No file takes another byte while it is full; the provider's disk is another one.

    The limit on the size of files is the operating system's own, so that every write fails where it
    would on a full disk: those of SQLite, of bodies, of plans. Python ignores the signal.
    """

    def __init__(self) -> None:
        self.full = False
        self._lifted = 0

    def fill(self) -> None:
        self.full = True
        self._set()

    def empty(self) -> None:
        self.full = False
        self._set()

    @contextmanager
    def lifted(self) -> Generator[None]:
        """Let the provider write, who is somewhere else."""
        self._lifted += 1
        self._set()
        try:
            yield
        finally:
            self._lifted -= 1
            self._set()

    def _set(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = 0 if self.full and not self._lifted else hard
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
