"""When files change: what the operating system tells, believed only where their contents differ."""

import hashlib
import os
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from glob import has_magic, iglob
from pathlib import Path

import anyio
import anyio.to_thread
from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - names trio's event

from batchspec.watch.protocol import Watched

QUIET_MS = 200
"""A change is believed when nothing else changed for so long."""
LONGEST_MS = 10_000
"""Or when changes have gone on for so long."""
LOOK_AGAIN_MS = 30_000
"""What no operating system tells (a network's folder) is seen by looking so often."""
_CHUNK = 1 << 20

_Stat = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Changed:
    """Which kinds of files have other contents now."""

    code: bool
    data: bool


@dataclass(slots=True)
class Contents:
    """Hashes of files, read again only where size, time or inode differ."""

    _known: dict[str, tuple[_Stat, bytes]] = field(default_factory=dict[str, tuple[_Stat, bytes]])

    def of(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the hashes of files, by path; blocking.

        Args:
            names: Paths and globs; what is not there, or cannot be read, is left out.
        """
        found: dict[str, bytes] = {}
        for name in names:
            for path in _matching(name):
                if (digest := self._digest(path)) is not None:
                    found[path] = digest
        return found

    def _digest(self, path: str) -> bytes | None:
        try:
            with Path(path).open("rb") as file:
                stat = os.fstat(file.fileno())
                now = stat.st_size, stat.st_mtime_ns, stat.st_ino
                known = self._known.get(path)
                if known is not None and known[0] == now:
                    return known[1]
                hashed = hashlib.blake2b(digest_size=16)
                while chunk := file.read(_CHUNK):
                    hashed.update(chunk)
        except OSError:
            self._known.pop(path, None)
            return None
        self._known[path] = now, hashed.digest()
        return hashed.digest()


@dataclass(slots=True)
class Files:
    """The files that plans depend on, and how they were when they were looked at last.

    Attributes:
        watched: Which.
    """

    watched: Watched
    _contents: Contents = field(default_factory=Contents)
    _code: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    _data: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    def look(self) -> Changed:
        """Say what changed since the look before; blocking."""
        code, data = self._contents.of(self.watched.code), self._contents.of(self.watched.data)
        changed = Changed(code != self._code, data != self._data)
        self._code, self._data = code, data
        return changed

    def watch_for(self, watched: Watched) -> Changed:
        """Look after other files from now on; says what of those known before changed; blocking.

        A file nobody looked at before is taken as it is.
        """
        before = {**self._code, **self._data}
        self.watched = watched
        self.look()
        return Changed(_differ(self._code, before), _differ(self._data, before))

    async def changes(self, stop: anyio.Event) -> AsyncGenerator[Changed]:
        """Yield whenever contents changed, until it is told to stop."""
        folders = self._folders()
        async for _ in awatch(
            *folders,
            debounce=LONGEST_MS,
            step=QUIET_MS,
            stop_event=stop,
            recursive=False,
            rust_timeout=LOOK_AGAIN_MS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
            raise_interrupt=False,
        ):
            changed = await anyio.to_thread.run_sync(self.look)
            if changed.code or changed.data:
                yield changed

    def _folders(self) -> list[Path]:
        """Return the folders the files are in, or those they would be in."""
        names = (*self.watched.code, *self.watched.data)
        found: dict[Path, None] = {}
        for name in names:
            for folder in _places(name):
                while not folder.is_dir() and folder != folder.parent:
                    folder = folder.parent  # noqa: PLW2901 - the nearest one there is
                found[folder] = None
        return list(found)


def _places(name: str) -> Iterable[Path]:
    """Return the folders where files of a name are; of a recursive glob, all there are now."""
    path = Path(name)
    if not has_magic(name):
        return [path.parent]
    fixed = path
    while has_magic(str(fixed)):
        fixed = fixed.parent
    pattern = str(path.parent)
    if not has_magic(pattern):
        return [path.parent]
    return [fixed, *(Path(one) for one in _matching(pattern + os.sep))]


def _matching(name: str) -> Iterator[str]:
    # As the rows of `files` are found.
    yield from iglob(name, recursive=True) if has_magic(name) else (name,)  # noqa: PTH207


def _differ(now: Mapping[str, bytes], before: Mapping[str, bytes]) -> bool:
    return any(path in before and before[path] != digest for path, digest in now.items())
