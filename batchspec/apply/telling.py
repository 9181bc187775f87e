"""What hooks are told, as a value for functions and as a document for commands."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from pydantic_core import from_json, to_json

from batchspec.apply.world import World
from batchspec.ids import JobAddress, RowKey, item_address
from batchspec.messages import Usage
from batchspec.spec.hooks import JobError, JobFinal
from batchspec.state.hooks import Delivery


@dataclass(slots=True, kw_only=True)
class Thing:
    """What one delivery tells.

    Attributes:
        value: The item, `JobFinal` or `JobError` that a function gets.
        address: Of the item or the job.
        name: Stable: the same thing told again has the same name.
        document: Makes the JSON a command gets, but for its head; runs functions of the spec.
        variables: For the environment of a command.
        key: Of an item.
    """

    value: Any
    address: str
    name: str
    document: Callable[[], bytes]
    variables: dict[str, str] = field(default_factory=dict[str, str])
    key: str = ""

    @property
    def row(self) -> dict[str, Any]:
        """Return the row of an item."""
        return self.value.row if self.key else {}

    def payload(self) -> str | None:
        """Return what is kept of it until it is told again; None: the state has it anyway."""
        return to_json(_plain(self.value)).decode() if isinstance(self.value, JobFinal) else None


def item_thing(
    job: JobAddress,
    delivery: Delivery,
    items: Mapping[RowKey, Any],
    document: Callable[[Any], bytes],
) -> Thing | None:
    """Return what is told of an item; None: there is nothing to tell any more."""
    item = None if delivery.stale or delivery.key is None else items.get(delivery.key)
    if item is None or item.outcome is None:
        return None
    address = item_address(job, item.key)
    return Thing(
        value=item,
        address=address,
        name=f"{address}@{delivery.at.settled}",
        document=lambda: b'"item":' + document(item).strip(),
        variables={"KEY": item.key, "OUTCOME": item.outcome, "REASON": item.reason or ""},
        key=item.key,
    )


def error_thing(job: JobAddress, delivery: Delivery) -> Thing:
    """Return what is told of an error."""
    error = JobError(**from_json(delivery.payload or "{}"))
    return Thing(
        value=error,
        address=job,
        name=f"{job}!{delivery.id}",
        document=lambda: to_json({"error": asdict(error)})[1:-1],
        variables={"REASON": error.reason} if error.reason else {},
    )


async def final_thing(world: World, job: JobAddress, delivery: Delivery) -> Thing:
    """Return what is told of a job that is final, as it was when that was told first."""
    if delivery.payload is not None:
        given = from_json(delivery.payload)
        cost = None if given["cost"] is None else Decimal(given["cost"])
        final = JobFinal(**given | {"usage": Usage(**given["usage"]), "cost": cost})
    else:
        final = await _final(world, job)
    document = _plain(final)
    cost = document.pop("cost")
    document["cost_usd"] = None if cost is None else float(cost)
    return Thing(
        value=final,
        address=job,
        name=f"{job}@{delivery.at.settled}",
        document=lambda: to_json({"final": document})[1:-1],
    )


async def _final(world: World, job: JobAddress) -> JobFinal:
    jobs = await world.db(world.store.progress)
    one = next(found for found in jobs if found.address == job)
    return JobFinal(
        address=job,
        items=one.items,
        outcomes={str(outcome): n for outcome, n in one.outcomes.items()},
        usage=one.usage,
        cost=one.cost,
        turns=one.turns,
    )


def _plain(final: JobFinal) -> dict[str, Any]:
    return asdict(final) | {"usage": final.usage._asdict()}
