"""What the faults of a batch or file mean for it: drawn once, stored, and asked ever after."""

import json
import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from batchspec.simulator.faults.batches import BatchFault, CancelRace, ServerFailure
from batchspec.simulator.faults.catalogue import read_fault
from batchspec.simulator.faults.files import FileFault
from batchspec.simulator.faults.peek import model_of
from batchspec.simulator.faults.rule import Occasion
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.faults.tally import Tally
from batchspec.simulator.faults.tenants import OtherTenants, foreign_batch
from batchspec.simulator.jobs.records import BatchError, BatchRecord, FileRecord
from batchspec.simulator.wire import Json, Pace

B = TypeVar("B", bound=BatchFault)


def mark_file(faults: Faults, file: FileRecord, path: Path, tally: Tally) -> FileRecord:
    """Return a new file with the faults that strike it.

    Args:
        faults: Draws.
        file: As it would be without.
        path: Where its bytes are.
        tally: Notes the draws.
    """
    if not faults.any(FileFault):
        return file
    occasion = Occasion(purpose=file.purpose, model=model_of(path))
    for fault in faults.draw(FileFault, occasion, tally):
        file = fault.mark(file)
    return file


def mark_batch(
    faults: Faults, batch: BatchRecord, path: Path | None, pace: Pace, tally: Tally
) -> tuple[BatchRecord, list[BatchRecord]]:
    """Return a new batch with the faults that strike it, and batches of others that come first.

    Args:
        faults: Draws.
        batch: As it would be without.
        path: Where its input is; none if there is no such file.
        pace: Of batches without faults.
        tally: Notes the draws.
    """
    others: list[BatchRecord] = []
    kept: list[str] = []
    if not faults.any(BatchFault):
        return batch, others
    model = None if path is None else model_of(path)
    for fault in faults.draw(BatchFault, Occasion(model=model), tally):
        if isinstance(fault, OtherTenants):
            others += [foreign_batch(batch.created_at) for _ in range(fault.count)]
            continue
        batch = fault.mark(batch, pace)
        kept.append(json.dumps(fault.document()))
    return replace(batch, faults=tuple(kept)), others


def drawn(batch: BatchRecord) -> tuple[BatchFault, ...]:
    """Return the faults a batch was created with."""
    return _parse(batch.faults) if batch.faults else ()


def first(batch: BatchRecord, kind: type[B]) -> B | None:
    """Return the first fault of a kind a batch was created with."""
    return next((fault for fault in drawn(batch) if isinstance(fault, kind)), None)


@lru_cache(maxsize=256)
def _parse(documents: tuple[str, ...]) -> tuple[BatchFault, ...]:
    found = (read_fault(json.loads(document)) for document in documents)
    return tuple(fault for fault in found if isinstance(fault, BatchFault))


def _active(batch: BatchRecord) -> tuple[BatchFault, ...]:
    """Return what can delay a batch; nothing does once somebody ended it by hand."""
    return () if batch.hurried_at is not None else drawn(batch)


def paced(batch: BatchRecord, pace: Pace) -> Pace:
    """Return how long a batch stays in each status."""
    for fault in _active(batch):
        pace = fault.paced(pace)
    return pace


def refusals(batch: BatchRecord) -> list[BatchError]:
    """Return what validation finds although the file is good."""
    return [error for fault in drawn(batch) for error in fault.refuse(batch)]


def deadline(batch: BatchRecord, pace: Pace) -> float:
    """Return when a batch ends that has lines left."""
    found = (fault.deadline(batch, pace) for fault in _active(batch))
    return min((moment for moment in found if moment is not None), default=batch.expires_at)


def held(batch: BatchRecord, now: float) -> int:
    """Return how many lines are not to be answered yet."""
    found = (f.held(batch) for f in _active(batch) if now < f.held_until(batch))
    return max(found, default=0)


def held_until(batch: BatchRecord, *, default: float = math.inf) -> float:
    """Return when the lines that are held will be answered; infinity if never.

    Args:
        batch: Any.
        default: For a batch of which no line is held.
    """
    found = [f.held_until(batch) for f in _active(batch) if f.held(batch)]
    return max(found, default=default)


def failure(batch: BatchRecord) -> BatchError | None:
    """Return why a batch fails at its deadline, if it does not expire."""
    fault = first(batch, ServerFailure)
    return None if fault is None else fault.error()


def races(batch: BatchRecord) -> bool:
    """Tell whether a cancel comes too late for a batch."""
    began = batch.in_progress_at is not None and batch.hurried_at is None
    return began and first(batch, CancelRace) is not None


def show(faults: Faults, batch: BatchRecord) -> Json:
    """Return a batch on the wire as a client sees it now."""
    shown = batch.to_wire()
    views = [fault for fault in drawn(batch) if fault.seen_by_clients]
    if views:
        looks = faults.looks(batch.id, batch.status)
        for fault in views:
            fault.show(shown, batch, looks)
    return shown
