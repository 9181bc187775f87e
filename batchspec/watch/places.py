"""The folders in which something happens when one of some files changes."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import has_magic, iglob
from pathlib import Path

from batchspec.errors import storable

_STEPS = 500
"""Parts of a path that are followed; links that go in circles have no end."""
_PROBE = "4913"
"""What Vim creates to see whether it can."""

_Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """Folders to be watched, not those below them.

    Two are equal if they are the same folders on disk: one that was removed and made anew is
    another one, and so is what a link with another target leads to.

    Attributes:
        folders: All of them whose names are UTF-8; nobody tells of others.
    """

    folders: tuple[str, ...]
    _identities: tuple[_Identity, ...]
    _holding: frozenset[str]
    """Those that hold files; of the others only `_entries` count."""
    _entries: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "Places":
        """Return where files are, or would be, by their absolute paths and globs; blocking."""
        holding: dict[str, None] = {}
        entries: dict[str, None] = {}
        for name in names:
            for folder in _folders(name):
                _add(folder, holding, entries)
            fixed = _fixed(name)
            for link in _links(fixed):
                entries[str(link)] = None
                if not has_magic(name):
                    # What a link leads to changes where that is.
                    holding[os.path.realpath(fixed.parent)] = None
                    holding[str(Path(os.path.realpath(fixed)).parent)] = None
            entries[name if not has_magic(name) else str(fixed)] = None
        found = {*holding, *(os.path.dirname(entry) for entry in entries)}  # noqa: PTH120 - texts
        known = {folder: _identity(folder) for folder in sorted(found)}
        there = {
            folder: one for folder, one in known.items() if one is not None and _is_text(folder)
        }
        return cls(tuple(there), tuple(there.values()), frozenset(holding), frozenset(entries))

    def concerns(self, path: str) -> bool:
        """Tell whether something that happened to a path may be about one of the files."""
        if path in self._entries or path in self._holding:
            return True
        folder, name = os.path.split(path)
        return folder in self._holding and not (
            name.startswith(".") or name.endswith("~") or name == _PROBE
        )


def _add(folder: Path, holding: dict[str, None], entries: dict[str, None]) -> None:
    """Add a folder; of one that is not there the nearest one above, in which it would appear."""
    if folder.is_dir():
        holding[str(folder)] = None
        return
    while not folder.parent.is_dir() and folder != folder.parent:
        folder = folder.parent
    entries[str(folder)] = None


def _folders(name: str) -> Iterator[Path]:
    """Yield the folders where files of a name are; of a glob, all that match now."""
    pattern, fixed = os.path.dirname(name), _fixed(name)  # noqa: PTH120 - a glob
    if not has_magic(name):
        yield fixed.parent
        return
    yield fixed
    if has_magic(pattern):
        yield from (Path(one) for one in iglob(pattern + os.sep, recursive=True))  # noqa: PTH207


def _fixed(name: str) -> Path:
    """Return the part of a name that is no glob."""
    path = Path(name)
    while has_magic(str(path)):
        path = path.parent
    return path


def _links(path: Path) -> Iterator[Path]:
    """Yield the symbolic links on the way to a path."""
    left, at = list(path.parts), Path()
    for _ in range(_STEPS):
        if not left:
            return
        at /= left.pop(0)
        try:
            target = at.parent / at.readlink()
        except (OSError, ValueError):
            continue  # none, or nothing is there
        yield at
        left, at = [*target.parts, *left], Path()


def _is_text(folder: str) -> bool:
    return storable(folder) == folder


def _identity(folder: str) -> _Identity | None:
    try:
        found = os.stat(folder)  # noqa: PTH116 - as it is spelled
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
