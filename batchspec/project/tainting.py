"""Tainting answers: a person has looked at them and wants others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchspec.errors import UsageError
from batchspec.ids import JobAddress, RowKey, names, parse_address
from batchspec.spec.suggest import did_you_mean
from batchspec.state.housekeeping import ItemsTainted
from batchspec.store.sqlite import StateStore
from batchspec.store.taints import some_keys, taint, unknown_keys

if TYPE_CHECKING:
    from batchspec.project.opened import OpenedProject

_GUESSED_FROM = 10_000
"""Keys a misspelt one is compared with."""
Named = dict[JobAddress, list[RowKey] | None]
"""The keys meant of every job; None: all."""


@dataclass(frozen=True, slots=True)
class Tainted:
    """How many items of a job were marked, or unmarked."""

    job: JobAddress
    items: int


def mark(
    project: "OpenedProject",
    addresses: Sequence[str],
    *,
    keys: Sequence[str] | None = None,
    on: bool = True,
) -> tuple[Tainted, ...]:
    """Taint items, or take that back; see `Project.taint`."""
    if keys is not None and len(addresses) != 1:
        raise UsageError("Keys are those of one job: name its address, and nothing else.")
    with project.reader():
        pass  # tells that there is no state, where a store would make one
    with project.leased("taint" if on else "untaint") as store:
        named = named_items(store, addresses, keys)
        with store.transaction() as db:
            done = [Tainted(job, taint(db, job, wanted, on=on)) for job, wanted in named.items()]
            for each in done:
                at = project.clock.now()
                store.journal(ItemsTainted(job=each.job, items=each.items, tainted=on, at=at))
    return tuple(done)


def named_items(
    store: StateStore,
    addresses: Sequence[str],
    keys: Sequence[str] | None = None,
    *,
    removed: bool = False,
) -> Named:
    """Return the keys meant of every job, None for all of them.

    Args:
        store: The state.
        addresses: Of jobs, which may be globs, or of items.
        keys: Of one job, whose address is the only one.
        removed: Also know jobs of which nothing but old answers is left.

    Raises:
        UsageError: An address or a key is not on record.
    """
    known = [j.address for j in store.progress() if removed or (not j.removed and j.items)]
    named: Named = {}
    for text in addresses:
        pattern, key = parse_address(text)
        jobs = [job for job in known if names(text, job)]
        if not jobs:
            raise UsageError(f"No job {text!r} is on record. {did_you_mean(pattern, known)}")
        if key is not None and keys is not None:
            raise UsageError(f"{text!r} is one item; keys are those of a job, {pattern!r}.")
        wanted = [RowKey(k) for k in keys] if keys is not None else None
        for job in jobs:
            _add(named, job, [key] if key is not None else wanted)
    for job, meant in named.items():
        _refuse_unknown(store, job, meant or ())
    return named


def _add(named: Named, job: JobAddress, keys: list[RowKey] | None) -> None:
    before = named.get(job, [])
    named[job] = None if keys is None or before is None else [*before, *keys]


def _refuse_unknown(store: StateStore, job: JobAddress, keys: Sequence[RowKey]) -> None:
    missing = unknown_keys(store.db, job, keys)
    if not missing:
        return
    listed = ", ".join(map(repr, missing))
    guess = did_you_mean(missing[0], some_keys(store.db, job, _GUESSED_FROM))
    # Anything else would list them all.
    guess = f"{guess} " if guess.startswith("Did") else ""
    raise UsageError(
        f"Job {job} has no item with the key {listed} on record. {guess}Nothing was changed."
    )
