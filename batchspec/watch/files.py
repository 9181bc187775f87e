"""When files change: what the operating system tells, believed only where their contents differ."""

import hashlib
import os
import threading
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from glob import escape, has_magic, iglob
from pathlib import Path

import anyio
import anyio.to_thread
from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - names trio's event

from batchspec.watch.places import Places
from batchspec.watch.protocol import Watched

QUIET_MS = 200
"""A change is believed when nothing else changed for so long."""
LONGEST_MS = 10_000
"""Or when changes have gone on for so long."""
LOOK_AGAIN = 30
"""Seconds after which files are looked at though nothing was told: a network's folder tells
nothing."""
_TURN_MS = 1_000
_UNSURE = 2_000_000_000
"""Nanoseconds: a file that changed so shortly before it was read may change once more without
another size or time."""
_CHUNK = 1 << 20

_Stat = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Changed:
    """Which kinds of files have other contents now."""

    code: bool
    data: bool


@dataclass(slots=True)
class Contents:
    """Hashes of files, read again only where size, times or inode differ."""

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

    def keep(self, paths: Iterable[str]) -> None:
        """Forget all files but some."""
        self._known = {path: self._known[path] for path in paths if path in self._known}

    def _digest(self, path: str) -> bytes | None:
        known = self._known.get(path)
        try:
            if known is not None and known[0] == _stat(os.stat(path)):  # noqa: PTH116 - a third the time
                return known[1]
            with open(path, "rb") as file:  # noqa: PTH123
                began, now = time.time_ns(), _stat(os.fstat(file.fileno()))
                hashed = hashlib.blake2b(digest_size=16)
                while chunk := file.read(_CHUNK):
                    hashed.update(chunk)
        except (OSError, ValueError):
            self._known.pop(path, None)
            return None
        digest = hashed.digest()
        if now[3] < began - _UNSURE:
            self._known[path] = now, digest
        else:
            self._known.pop(path, None)
        return digest


def sizes(patterns: Iterable[str]) -> dict[str, bytes]:
    """Return what size and times of the files say that match globs, by glob; blocking."""
    found: dict[str, bytes] = {}
    for pattern in patterns:
        hashed = hashlib.blake2b(digest_size=16)
        for path in sorted(_matching(pattern)):
            try:
                said = _stat(os.stat(path))  # noqa: PTH116
            except (OSError, ValueError):
                continue
            hashed.update(f"{path}\0{said}\0".encode("utf-8", "surrogateescape"))
        found[pattern] = hashed.digest()
    return found


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
    _attached: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> Changed:
        """Say what changed since the look before, from any thread; blocking."""
        with self._looking:
            return self._look()

    def _look(self) -> Changed:
        code, data = self._contents.of(self.watched.code), self._contents.of(self.watched.data)
        attached = sizes(self.watched.attached)
        other = data != self._data or attached != self._attached
        changed = Changed(code != self._code, other)
        self._code, self._data, self._attached = code, data, attached
        self._contents.keep({*code, *data})
        return changed

    def watch_for(self, watched: Watched) -> Changed:
        """Look after other files from now on; says what of those before changed; blocking.

        A file nobody looked after before is taken as it is, unless the engine has read it when it
        was another.
        """
        with self._looking:
            first = self._look()
            before = {**self._code, **self._data, **self._attached}
            self.watched = watched
            self._look()
            # A file that changed between both looks would never be told of.
            read = {path: bytes.fromhex(digest) for path, digest in watched.read.items()}
            code = first.code or _differ(self._code, before) or _differ(self._code, read)
            other = _differ(self._data, before) or _differ(self._attached, before)
            return Changed(code, first.data or other)

    async def changes(self, stop: anyio.Event) -> AsyncGenerator[Changed]:
        """Yield whenever contents changed, until it is told to stop."""
        while not stop.is_set():
            places, again = await anyio.to_thread.run_sync(self._places), 0.0
            try:
                async with aclosing(self._told(places, stop)) as told:
                    async for changed in told:
                        yield changed
            except* OSError:
                # A folder went while it was to be watched, or the system watches no more of them.
                again = LOOK_AGAIN
            except* RuntimeError:
                # An internal error of watchfiles: something has a name there that is no UTF-8.
                again = _TURN_MS / 1_000
            if again:
                with anyio.move_on_after(again):
                    await stop.wait()
                changed = await anyio.to_thread.run_sync(self.look)
                if changed.code or changed.data:
                    yield changed

    async def _told(self, places: Places, stop: anyio.Event) -> AsyncGenerator[Changed]:
        """Yield whenever contents changed, as long as the files are where they were."""
        silent = float(LOOK_AGAIN)
        told = awatch(
            *places.folders,
            watch_filter=lambda _change, path: places.concerns(path),
            debounce=LONGEST_MS,
            step=QUIET_MS,
            stop_event=stop,
            recursive=False,
            rust_timeout=_TURN_MS,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        async with aclosing(told):
            async for events in told:
                silent += _TURN_MS / 1_000
                if not events and silent < LOOK_AGAIN:
                    continue
                silent = 0.0
                changed = await anyio.to_thread.run_sync(self.look)
                if changed.code or changed.data:
                    yield changed
                if await anyio.to_thread.run_sync(self._places) != places:
                    return

    def _places(self) -> Places:
        watched = self.watched
        return Places.of((*watched.code, *watched.data, *watched.attached))


async def appearing(folder: Path, suffix: str, stop: anyio.Event) -> AsyncGenerator[None]:
    """Yield when files with a suffix come into a folder, until it is told to stop.

    It may be removed and made anew: what is not told is found with the next look.
    """
    pattern = _all_of(folder, suffix)
    files = Files(Watched(attached=(pattern,)))
    async with aclosing(files.changes(stop)) as changes:
        async for _ in changes:
            if await anyio.to_thread.run_sync(_any, pattern):
                yield


def _all_of(folder: Path, suffix: str) -> str:
    return f"{escape(str(folder.absolute()))}/*{suffix}"


def _any(pattern: str) -> bool:
    return next(_matching(pattern), None) is not None


def _stat(found: os.stat_result) -> _Stat:
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns, found.st_dev


def _matching(name: str) -> Iterator[str]:
    # As the rows of `files` are found.
    yield from iglob(name, recursive=True) if has_magic(name) else (name,)  # noqa: PTH207


def _differ(now: Mapping[str, bytes], before: Mapping[str, bytes]) -> bool:
    return any(path in before and before[path] != digest for path, digest in now.items())
