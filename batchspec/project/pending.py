"""Plans that wait for a person, as files beside the state; whoever may write there may approve."""

import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchspec.errors import PlanFileError, StalePlanError, StateError, UsageError
from batchspec.plan.changes import Plan
from batchspec.plan.counts import waiting
from batchspec.plan.planfile import entry_line
from batchspec.project.planfiles import SavedPlan, read_plan, read_rows, write_plan
from batchspec.project.status import age
from batchspec.store.watching import granted_at

if TYPE_CHECKING:
    from batchspec.project import Project

_FOLDER = "pending"
_PLAN = ".plan"
_FRESH = ".fresh"
_HALF = ".half"
_PART = ".part"
_RETIRED = ".retired"
APPROVED = ".approved"
"""What the file is called by which a person agrees to a plan, after the plan's id."""
ENOUGH = 12
"""Characters of an id that name a plan: its time, in milliseconds."""
_OURS = {_PLAN, APPROVED, _FRESH, _HALF, _PART, _RETIRED}
_HALF_DONE = 3600.0
"""Seconds after which nobody is writing a file any more that is half-written."""


class Pending:
    """The plans of one environment that wait for consent; at most one of them is not approved yet.

    Args:
        directory: The folder of the environment's state.
    """

    def __init__(self, directory: Path) -> None:
        self.folder = directory / _FOLDER

    def __iter__(self) -> Iterator[SavedPlan]:
        """Yield the plans that can be read, oldest first."""
        for path in sorted(self.folder.glob(f"*{_PLAN}")):
            with suppress(PlanFileError, UsageError):
                yield read_plan(path)

    def find(self, plan: str) -> SavedPlan | None:
        """Return a plan by its id, or by the beginning of it; None: it does not wait.

        Raises:
            UsageError: That is too little to name one plan, or names several.
        """
        if len(plan) < ENOUGH:
            raise UsageError(
                f"{plan!r} names no plan: give at least the first {ENOUGH} characters of its id, "
                "as `batchspec status` shows them. Fewer might name the plan that comes after it."
            )
        found = [saved for saved in self if saved.plan.id.startswith(plan)]
        if len(found) > 1:
            known = ", ".join(saved.plan.id for saved in found)
            raise UsageError(f"More than one plan begins with {plan!r}: {known}.")
        return found[0] if found else None

    def propose(self, project: "Project", plan: Plan) -> SavedPlan:
        """Keep the plan that `project` made last; one that would do the same keeps its id.

        What else is to be sent or was sent meanwhile changes what a plan costs, and not what
        somebody agrees to; only what costs more than was said is another plan. Plans that are
        neither approved nor this one are no choice any more, and removed.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_back()
        # Nobody sees it, and agrees to it, before it is known that it is the one that stays.
        saved = project.save_plan(plan, self.folder / f"{plan.id}{_FRESH}")
        said, same = _said(saved), None
        for other in self:
            if same is None and _said(other) == said and not _dearer(saved, other):
                same = other
            else:
                self._retire(other)
        if same is None:
            place = saved.path.with_suffix(_PLAN)
            same = replace(saved, path=saved.path.rename(place))
        elif _dearer(same, saved) and not self._may_be_approved(same):
            same = self._cheaper(saved, same)
        self._tidy()
        return same

    def _cheaper(self, saved: SavedPlan, same: SavedPlan) -> SavedPlan:
        """Let a plan that costs less take the place of one that would do the same."""
        header = replace(saved.header, plan=replace(saved.header.plan, id=same.plan.id))
        write_plan(same.path, header, read_rows(saved))
        found = read_plan(same.path)
        if self.is_approved(same):
            # Somebody agreed to it in this moment, for more.
            with suppress(StalePlanError):
                self.approve(found)
        return found

    def withdraw(self) -> None:
        """Remove what is not approved: nothing waits for consent."""
        self._take_back()
        for saved in self:
            self._retire(saved)
        self._tidy()

    def _retire(self, saved: SavedPlan) -> None:
        """Remove a plan unless a person agreed to it, also if that happens in this moment."""
        if self._may_be_approved(saved):
            return
        aside = saved.path.with_suffix(_RETIRED)
        with suppress(FileNotFoundError):
            saved.path.rename(aside)
        # Whoever agrees from here on does not find it, and is told.
        if self._may_be_approved(saved):
            aside.rename(saved.path)
            return
        aside.unlink(missing_ok=True)
        self.remove(saved)

    def _take_back(self) -> None:
        """Let plans wait again that a crash left aside although somebody had agreed to them."""
        for aside in self.folder.glob(f"*{_RETIRED}"):
            plan = aside.with_suffix(_PLAN)
            if os.path.lexists(aside.with_suffix(APPROVED)) and not plan.exists():
                aside.rename(plan)

    def _tidy(self) -> None:
        """Remove what a crash or a full disk left: half-written files, marks without a plan."""
        readable = {saved.path.stem for saved in self}
        found = list(self.folder.glob("*"))
        marked = {path.stem for path in found if path.suffix == APPROVED}
        plans = {path.stem for path in found if path.suffix == _PLAN}
        # A plan that somebody agreed to and that cannot be read is told of.
        kept = readable | (plans & marked)
        for path in found:
            if path.stem not in kept and path.suffix in _OURS and not _in_the_making(path):
                path.unlink(missing_ok=True)

    # --- consent

    def approve(self, saved: SavedPlan) -> None:
        """Note that a person agrees to a plan; whoever watches, or watches next, does it.

        Raises:
            StalePlanError: It was replaced, or done, in this moment.
            StateError: The folder cannot be written to, or whoever watches could not read that;
                nothing was agreed to.
        """
        mark = self._mark(saved)
        half = mark.with_suffix(f".{os.getpid()}-{threading.get_native_id()}{_HALF}")
        try:
            descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                _give(descriptor, saved)
                file.write(saved.sha256)
                file.flush()
                os.fsync(file.fileno())
            half.rename(mark)
        except StateError:
            half.unlink(missing_ok=True)
            raise
        except OSError as error:
            raise StateError(f"{mark} cannot be written: {error.strerror}.") from error
        if not self._stands(saved):
            mark.unlink(missing_ok=True)
            raise StalePlanError(
                f"Plan {saved.plan.id} does not wait any more: it was replaced or done meanwhile. "
                "`batchspec status` lists what does."
            )

    def _stands(self, saved: SavedPlan) -> bool:
        """Tell whether the plan that was just agreed to is there, or one that costs less is."""
        try:
            return self.is_approved(read_plan(saved.path))
        except (PlanFileError, UsageError):
            return False

    def is_approved(self, saved: SavedPlan) -> bool:
        """Tell whether a person agreed to exactly this plan."""
        try:
            return self._agreed(saved)
        except OSError:
            return False

    def _may_be_approved(self, saved: SavedPlan) -> bool:
        """Tell whether a person agreed to this plan, or that cannot be read now."""
        if self.is_approved(saved):
            return True
        try:
            return self._agreed(saved)
        except OSError:
            return True

    def _agreed(self, saved: SavedPlan) -> bool:
        try:
            return self._mark(saved).read_bytes() == saved.sha256.encode()
        except FileNotFoundError:
            return False

    def undone(self) -> bool:
        """Tell whether anything says that a person agreed to a plan."""
        return any(self.folder.glob(f"*{APPROVED}"))

    def to_do(self, db: sqlite3.Connection, warn: Callable[[str], None]) -> list[SavedPlan]:
        """Return the plans somebody agreed to that are not done yet, oldest first; blocking.

        Args:
            db: The state. It says what was done before a crash.
            warn: Is told of consent that leads to nothing.
        """
        self._take_back()
        for mark in sorted(self.folder.glob(f"*{APPROVED}")):
            self._check(mark, warn)
        found = self.approved()
        for saved in found:
            if granted_at(db, saved.plan.id) is not None:
                self.remove(saved)
        return [saved for saved in found if saved.path.exists()]

    def _check(self, mark: Path, warn: Callable[[str], None]) -> None:
        """Tell of consent to a plan that is there and cannot be read, or is another one by now."""
        path, said = mark.with_suffix(_PLAN), f"Plan {mark.stem} was approved"
        try:
            saved = read_plan(path)
            if not self._agreed(saved):
                warn(f"{said} in the moment in which it became another one: approve it again.")
                mark.unlink(missing_ok=True)
        except PlanFileError as error:
            warn(f"{said} and cannot be done: approve the one that takes its place. {error}")
            path.unlink(missing_ok=True)
            mark.unlink(missing_ok=True)
        except (UsageError, OSError) as error:
            if path.exists():
                warn(f"{said}, which cannot be read. It is tried again by itself. {error}")

    def approved(self) -> list[SavedPlan]:
        """Return the plans somebody agreed to, oldest first."""
        return [saved for saved in self if self.is_approved(saved)]

    def remove(self, saved: SavedPlan) -> None:
        """Remove a plan that is done or no choice any more."""
        saved.path.unlink(missing_ok=True)
        self._mark(saved).unlink(missing_ok=True)

    @staticmethod
    def _mark(saved: SavedPlan) -> Path:
        return saved.path.with_suffix(APPROVED)


def _in_the_making(path: Path) -> bool:
    """Tell whether somebody may be writing their consent right now."""
    if path.suffix != _HALF:
        return False
    try:
        return time.time() - path.stat().st_mtime < _HALF_DONE
    except OSError:
        return True  # it is gone, and what has its name next is another one


def _give(descriptor: int, saved: SavedPlan) -> None:
    """Let a file belong to whoever made a plan, who is to read it: the one that watches."""
    try:
        plan, mark = saved.path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return  # it is told that the plan is gone
    if plan.st_uid == mark.st_uid:
        return
    try:
        os.fchown(descriptor, plan.st_uid, plan.st_gid)
    except OSError as error:
        raise StateError(
            f"Nothing was agreed to: plan {saved.plan.id} is of user {plan.st_uid}, who could not "
            f"read that you agree. Approve it as that user (`sudo -u '#{plan.st_uid}'`)."
        ) from error


def to_approve(project: "Project", plan: str) -> SavedPlan:
    """Return the plan that waits for consent in a project's environment, by its id.

    Raises:
        UsageError: It does not wait there; the message says what became of it.
    """
    saved = Pending(project.directory).find(plan)
    if saved is not None:
        return saved
    here = f"in environment {project.environment!r}"
    for folder in sorted(project.directory.parent.iterdir()):
        if folder.is_dir() and Pending(folder).find(plan) is not None:
            raise UsageError(
                f"Plan {plan} does not wait {here} but in {folder.name!r}: name that with `--env`, "
                "or `--simulate`."
            )
    with project.reader() as reader:
        at = granted_at(reader.db, plan)
    if at is not None:
        ago = age(project.clock.now() - at)
        raise UsageError(f"Plan {plan} was agreed to {ago} ago; there is nothing left to approve.")
    known = ", ".join(one.plan.id[:ENOUGH] for one in Pending(project.directory))
    raise UsageError(
        f"No plan {plan} waits for consent {here}: it may have been replaced when what waits "
        + (f"changed. These wait: {known}." if known else "changed. None waits.")
    )


def _said(saved: SavedPlan) -> str:
    """Return a hash of what a plan would do, whenever it was made, and whatever is under way."""
    jobs = [
        (job.address, job.removed, job.waits, job.contract, job.policy, job.protect)
        for job in saved.header.jobs
    ]
    changes = [(job.address, words) for job, words in waiting(saved.plan)]
    hashed = hashlib.sha256(repr((jobs, changes)).encode())
    for entry in read_rows(saved):
        hashed.update(entry_line(entry) + b"\n")
    return hashed.hexdigest()


def _dearer(one: SavedPlan, other: SavedPlan) -> bool:
    """Tell whether one may cost more than the other; what has no price may cost anything."""
    mine, others = one.header.ceiling, other.header.ceiling
    return others is not None and (mine is None or mine > others)
