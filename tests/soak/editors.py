"""The ways in which editors, scripts and version control write files."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

Way = Callable[[Path, str], None]


def in_place(path: Path, text: str) -> None:
    """As `>` of a shell: what was there is cut off first."""
    path.write_text(text)


def renamed(path: Path, text: str) -> None:
    """A file beside it takes its place."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


def vim(path: Path, text: str) -> None:
    """Try the folder, keep a backup under another name, write anew, remove the backup."""
    probe, backup = path.with_name("4913"), path.with_name(f"{path.name}~")
    probe.touch()
    probe.unlink()
    if path.exists():
        path.rename(backup)
    path.write_text(text)
    backup.unlink(missing_ok=True)


def emacs(path: Path, text: str) -> None:
    """With a lock: a link that points nowhere and ends like the file."""
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("somebody@somewhere.1234:1")
    path.write_text(text)
    lock.unlink()


def by_lines(path: Path, text: str) -> None:
    """As a program that writes a log: lines come in pieces, and what stands is left."""
    before = path.read_text() if path.exists() else ""
    if not text.startswith(before):
        in_place(path, text)
        return
    with path.open("a") as file:
        rest = text[len(before) :]
        for piece in (rest[:7], rest[7:]):
            file.write(piece)
            file.flush()


def touched(path: Path, text: str) -> None:
    """Write it, and then only its time."""
    in_place(path, text)
    os.utime(path)


WAYS: tuple[Way, ...] = (in_place, renamed, vim, emacs, by_lines, touched)


def checked_out(root: Path, files: Mapping[str, str]) -> None:
    """As git does it: what is to change is removed and made anew, file by file."""
    for name, text in files.items():
        path = root / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def swapped(link: Path, files: Mapping[str, str]) -> None:
    """Make a folder anew, let the link point to it in one step, and remove the old one.

    Args:
        link: To a folder beside it.
        files: What the new one holds, by name.
    """
    before = link.resolve() if link.is_symlink() else None
    number = 1 + max((int(p.name[1:]) for p in link.parent.glob("v*")), default=0)
    folder = link.with_name(f"v{number}")
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    new = link.with_name("link.new")
    new.symlink_to(folder.name)
    new.replace(link)
    if before is not None:
        shutil.rmtree(before)
