"""What people do to specs and data during a soak, and how."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from soak import editors
from soak.stage import Stage
from soak.wanted import ROWS, SHARED, SPECS, TICKETS

_EDIT = "edit"
_SOURCES = ("say", "triage", "note")


class Edits:
    """Changes files, in the ways of editors and of accidents.

    An accident lasts some seconds; whoever edits next has it mended first.
    """

    def __init__(self, stage: Stage, random: Random) -> None:
        self.stage, self.random = stage, random
        self._written: dict[str, str] = {}

    def begin(self) -> None:
        """Write everything for the first time."""
        for source in _SOURCES:
            self.stage.wanted.grow(source, 3)
        self._swap()
        self.write()

    def changes(self) -> dict[str, str | None]:
        """Return what files should say that do not say it; None: they should be gone."""
        files = self.stage.wanted.files()
        gone = dict.fromkeys(self._written.keys() - files.keys())
        return gone | {n: text for n, text in files.items() if self._written.get(n) != text}

    def write(self, way: editors.Way | None = None) -> None:
        """Write what should be written."""
        for name, text in self.changes().items():
            path = self.stage.root / name
            if text is None:
                path.unlink(missing_ok=True)
                del self._written[name]
                continue
            chosen = way or self.random.choice(editors.WAYS)
            self.stage.done[f"file written: {chosen.__name__}"] += 1
            chosen(path, text)
            self._written[name] = text

    # --- what is changed

    def _alter(self) -> None:
        """Change one thing or another that is wanted."""
        wanted, random = self.stage.wanted, self.random
        what = random.choices(["grow", "change", "drop", "reword"], [6, 2, 1, 2])[0]
        self.stage.done[f"wanted: {what}"] += 1
        if what == "grow":
            wanted.grow(random.choice(_SOURCES), random.randrange(1, 4))
        elif what == "reword":
            wanted.reword(random.choice(("say", "again", "triage", "note")), random)
        elif what == "change":
            wanted.change(random.choice(_SOURCES), random)
        else:
            wanted.drop(random.choice(_SOURCES), random)

    def edit(self) -> None:
        """Change something, as an editor does."""
        self.stage.finish(_EDIT)
        self._alter()
        self.write()

    def grow(self) -> None:
        """Let data grow by lines, as a program does that writes them."""
        self.stage.finish(_EDIT)
        self.stage.wanted.grow("say", 1)
        self.write(editors.by_lines)

    def check_out(self) -> None:
        """Change many files at once."""
        self.stage.finish(_EDIT)
        for _ in range(5):
            self._alter()
        files = {name: text for name, text in self.changes().items() if text is not None}
        same = {name: self._written[name] for name in SPECS}
        editors.checked_out(self.stage.root, same | files)
        self._written |= files
        self.write()

    def swap(self) -> None:
        """Put another version of a folder in the place of the one there is, by a link."""
        self.stage.finish(_EDIT)
        self.stage.wanted.grow("triage", 1)
        self._swap()

    def _swap(self) -> None:
        text = self.stage.wanted.files()[TICKETS]
        link = (self.stage.root / TICKETS).parent
        editors.swapped(link, {"tickets.csv": text})
        self._written[TICKETS] = text

    # --- what lasts for a while

    def touch(self) -> None:
        """Give a file another time, and nothing else."""
        self.stage.finish(_EDIT)
        name = self.random.choice(list(self._written))
        editors.touched(self.stage.root / name, self._written[name])

    def break_syntax(self) -> None:
        """Leave a spec, or what it imports, as no interpreter reads it."""
        name = self.random.choice([*SPECS, SHARED])
        self._accident(name, lambda text: text + "\nx = (")

    def half_written(self) -> None:
        """Write the beginning of a file first, and the rest later."""
        name = self.random.choice([*SPECS, ROWS, ROWS, TICKETS, TICKETS])
        keep = self.random.random()
        self._accident(name, lambda text: text[: int(len(text) * keep)])

    def emptied(self) -> None:
        """Cut a file of data off, and write it later."""
        self._accident(self.random.choice([ROWS, TICKETS]), lambda _text: "")

    def _accident(self, name: str, spoilt: Callable[[str], str]) -> None:
        self.stage.finish(_EDIT)
        self._alter()
        self.write()
        path = self.stage.root / name
        path.write_text(spoilt(self._written[name]))
        self._later(lambda: path.write_text(self._written[name]))

    def delete(self) -> None:
        """Delete a file, and put it back later."""
        self.stage.finish(_EDIT)
        name = self.random.choice([*SPECS, SHARED, ROWS, TICKETS])
        path = self.stage.root / name
        path.unlink()
        self._later(lambda: path.write_text(self._written[name]))

    def move_folder(self) -> None:
        """Move a folder away, or remove it, and put it back later."""
        self.stage.finish(_EDIT)
        name = self.random.choice(["specs", "specs", "notes", "data"])
        folder, away = self.stage.root / name, self.stage.root / f"{name}.away"
        if self.random.random() < 0.5:
            folder.rename(away)
            self._later(lambda: away.rename(folder))
        else:
            shutil.copytree(folder, away, symlinks=True)
            shutil.rmtree(folder)
            self._later(lambda: shutil.copytree(away, folder, symlinks=True), away)

    def _later(self, mend: Callable[[], object], leaves: Path | None = None) -> None:
        def do() -> None:
            mend()
            if leaves is not None:
                shutil.rmtree(leaves)

        self.stage.soon(self.random.choice([0.1, 0.5, 2.0, 4.0, 8.0]), _EDIT, do)
