"""What a saved plan allows when it is applied: less than it says, never more, never dearer."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import RefusedError
from batchspec.fingerprint import digest
from batchspec.ids import JobAddress, group_of
from batchspec.plan.money import money
from batchspec.plan.planfile import AgreedJob, Header, Price

Told = tuple[str, ...]


class Constraint:
    """One saved plan held against the specs as they are now; collects what was left alone.

    Args:
        header: What the plan says of its jobs.
        desired: The jobs as they are now.
        selected: Those the plan would be about, were it made now.
    """

    def __init__(self, header: Header, desired: Desired, selected: Iterable[JobAddress]) -> None:
        self._header = header
        self._agreed = {job.address: job for job in header.jobs}
        self._left: dict[JobAddress, int] = {}
        self._vanished: dict[JobAddress, int] = {}
        here = {job.address: job for job in desired.jobs}
        same = [a for a, agreed in self._agreed.items() if a in here and _same(agreed, here[a])]
        self.jobs: frozenset[JobAddress] = frozenset(same)
        """The jobs that are as they were."""
        self.removed: frozenset[JobAddress] = frozenset(
            job.address for job in header.jobs if job.removed and job.address not in here
        )
        """The jobs that are gone, as the plan says."""
        self._new = sorted(set(selected) - {a for a in self._agreed if not self._agreed[a].removed})
        planned = [a for a, agreed in self._agreed.items() if not agreed.removed]
        self._other = [a for a in planned if a in here and a not in self.jobs]
        off = set(desired.disabled)
        self._gone = [a for a in planned if a not in here and not off & {a, group_of(a)}]

    def waited(self, job: JobAddress) -> bool:
        """Tell whether every row of a job is agreed to, because none was known."""
        return self._agreed[job].waits

    def left(self, job: JobAddress) -> None:
        """Note a row that is to change and is not in the plan as it is now."""
        self._left[job] = self._left.get(job, 0) + 1

    def vanished(self, job: JobAddress, rows: int) -> None:
        """Note rows of the plan that are gone from the data."""
        if rows:
            self._vanished[job] = rows

    def told(self) -> Told:
        """Return what people should know: what the plan does not do, or does not do any more."""
        said = [
            f"{job}: {n} row{'s' if n > 1 else ''} changed since this plan was made, and "
            f"{'are' if n > 1 else 'is'} left alone. Plan again for that."
            for job, n in self._left.items()
        ]
        said += [
            f"{job}: {n} row{'s' if n > 1 else ''} of this plan "
            f"{'are' if n > 1 else 'is'} gone from the data."
            for job, n in self._vanished.items()
        ]
        said += [
            f"{job} changed since this plan was made (model, tools, output type, settings, code or "
            "protect), and is left alone. Plan again for it."
            for job in self._other
        ]
        said += [f"{job} is new since this plan was made. Plan again for it." for job in self._new]
        said += [f"{job} is gone from the specs since this plan was made." for job in self._gone]
        return tuple(said)


def _same(agreed: AgreedJob, job: DesiredJob) -> bool:
    return not agreed.removed and (agreed.contract, agreed.policy, agreed.protect) == (
        contract_digest(job),
        job.policy.hex(),
        job.job.protect,
    )


def contract_digest(job: DesiredJob) -> str:
    """Return the SHA-256 of what all requests of a job share, in hex."""
    return digest(job.contract.canonical()).hex()


def refuse_dearer(
    header: Header, costs: Mapping[JobAddress, Decimal | None], prices: Mapping[str, Price | None]
) -> None:
    """Refuse a plan whose rows may cost more now than it says.

    Args:
        header: What the plan says.
        costs: US dollars that what the plan would send may cost now, by job; None: not known.
        prices: As they are now.

    Raises:
        RefusedError: They may.
    """
    for job in header.jobs:
        if job.at_most is None or job.address not in costs:
            continue
        now = costs[job.address]
        if now is None or now > job.at_most:
            cost = (
                "a cost that is not known" if now is None else f"{money(now, at_most=True)} at most"
            )
            raise RefusedError(
                f"What this plan sends for {job.address} has {cost} now, and "
                f"{money(job.at_most, at_most=True)} when the plan was made"
                f"{_because(header, prices)}. Nothing was sent; plan again."
            )


def _because(header: Header, prices: Mapping[str, Price | None]) -> str:
    changed = sorted(
        model for model, price in header.prices.items() if prices.get(model, price) != price
    )
    return f": the price of {', '.join(changed)} changed" if changed else ""
