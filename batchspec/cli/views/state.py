"""The recorded state for people: lists of addresses, one job or item in full."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rich.text import Text

from batchspec.cli.views.documents import progress_document, usage_document
from batchspec.cli.views.streams import print_json, print_json_list, print_prose, stderr, stdout
from batchspec.cli.views.words import clean, counted
from batchspec.state.browsed import ItemDetail, ItemEntry, JobDetail, OldAnswer
from batchspec.state.housekeeping import ItemsForgotten


def show_jobs(jobs: Sequence[str]) -> None:
    """Print addresses of jobs, a line each."""
    print_prose(stdout(), [Text(clean(job)) for job in jobs])


def show_jobs_json(jobs: Sequence[str]) -> None:
    """Print addresses of jobs as one JSON document."""
    print_json({"jobs": list(jobs)})


def show_items(entries: Iterable[ItemEntry]) -> None:
    """Print items as they come: address, phase, outcome."""
    console = stdout()
    for entry in entries:
        words = [str(entry.phase), entry.outcome or "", "tainted" if entry.tainted else ""]
        told = "  ".join(word for word in words if word)
        console.print(Text.assemble(clean(entry.address), (f"  {told}", "dim")))


def show_items_json(entries: Iterable[ItemEntry]) -> None:
    """Print items as one JSON document, as they come."""
    print_json_list("items", (_entry(entry) for entry in entries))


def _entry(entry: ItemEntry) -> dict[str, Any]:
    return {
        "address": entry.address,
        "job": entry.job,
        "key": entry.key,
        "phase": entry.phase,
        "outcome": entry.outcome,
        "tainted": entry.tainted,
    }


def show_detail(found: JobDetail | ItemDetail) -> None:
    """Print a job or an item in full, a line for each thing there is to say."""
    document = detail_document(found)
    width = max(len(name) for name in document)
    lines: list[Text] = []
    for name, value in document.items():
        if value is None or value in ([], {}):
            continue
        lines.append(Text.assemble((name.ljust(width), "dim"), "  ", clean(_words(value))))
    print_prose(stdout(), lines)


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return ", ".join(f"{name} {_words(inner)}" for name, inner in table.items())
    if isinstance(value, list):
        return ", ".join(map(_words, cast("list[object]", value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def show_detail_json(found: JobDetail | ItemDetail) -> None:
    """Print a job or an item in full as one JSON document."""
    print_json(detail_document(found))


def detail_document(found: JobDetail | ItemDetail) -> dict[str, Any]:
    """Return a job or an item in full."""
    return _job(found) if isinstance(found, JobDetail) else _item(found)


def _job(job: JobDetail) -> dict[str, Any]:
    return {
        **progress_document(job.progress),
        "endpoint": job.lane.endpoint,
        "contract": job.contract,
        "policy": job.policy,
        "judged": job.judged,
        "upstream": job.upstream,
        "protect": job.protect,
    }


def _item(item: ItemDetail) -> dict[str, Any]:
    return {
        **_entry(item.entry),
        "reason": item.reason,
        "model": f"{item.lane.provider}:{item.lane.model}",
        "endpoint": item.lane.endpoint,
        "fingerprint": item.fingerprint,
        "contract": item.contract,
        "turn": item.turn,
        "tries": item.tries,
        "attempts": item.attempts,
        "output_retries": item.output_retries,
        "usage": usage_document(item.usage),
        "cost_usd": None if item.cost is None else round(item.cost, 12),
        "batch": item.batch,
        "remote_id": item.remote_id,
        "bodies": {
            name: {"file": place.file, "offset": place.offset, "record": place.index}
            for name, place in item.bodies.items()
        },
        "previous": _previous(item.previous),
        "shared_with": list(item.shared_with),
    }


def _previous(old: OldAnswer | None) -> dict[str, Any] | None:
    if old is None:
        return None
    return {"fingerprint": old.fingerprint, "outcome": old.outcome, "cost_usd": old.cost}


def show_moved(old: str, new: str) -> None:
    """Say that an address changed."""
    print_prose(stdout(), [Text(f"Moved {clean(old)} to {clean(new)}.")])


def show_moved_json(old: str, new: str) -> None:
    """Print an address that changed as one JSON document."""
    print_json({"old": old, "new": new})


def show_forgotten(done: Sequence[ItemsForgotten]) -> None:
    """Say what was forgotten, and what is still on its way."""
    for event in done:
        told = f"Forgot {clean(event.address)}: {counted(event.items, 'item')}."
        print_prose(stdout(), [Text(told)])
        if event.in_flight:
            many = counted(event.in_flight, "request")
            warning = f"{many} of it in flight; what comes back is kept and can be reused."
            print_prose(stderr(), [Text.assemble(("Warning: ", "yellow"), warning)])


def show_forgotten_json(done: Sequence[ItemsForgotten]) -> None:
    """Print what was forgotten as one JSON document."""
    print_json(
        {
            "forgotten": [
                {"address": e.address, "items": e.items, "in_flight": e.in_flight} for e in done
            ]
        }
    )
