"""What a plan may do without anybody being asked: the rule of `watch`, as a pure function."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from batchspec.ids import JobAddress
from batchspec.plan.changes import JobPlan, Kind, Plan
from batchspec.plan.counts import CHANGES, waiting
from batchspec.plan.money import money

Approve = Literal["turns", "all"]
"""`turns`: only what was agreed to goes on; `all`: changes of specs and data are submitted too."""
HeldCode = Literal[
    "CONSENT",
    "REMOVALS",
    "NOTHING_LEFT",
    "BEYOND_AGREED",
    "MAX_COST",
    "MAX_COST_PER_HOUR",
    "UNKNOWN_PRICE",
]
"""Why something waits for a person: nobody agreed, it takes something away, or all, it costs more
than it was said to, or it is too dear."""
_NONE = Decimal(0)
_NOTHING_LEFT = (
    "There is no job in the specs any more, which is more often a mistake than a wish: nothing is "
    "forgotten by itself, not even with `--prune`."
)
_TOLD = 4
"""Jobs of which it is said what waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What is agreed to before anything is known.

    Attributes:
        approve: Whether changes are submitted.
        prune: Whether rows and jobs that are gone are forgotten.
        max_cost: US dollars that may be spent in all, counted from when watching began.
        max_cost_per_hour: US dollars that the plans of one hour may cost at most together.
    """

    approve: Approve = "turns"
    prune: bool = False
    max_cost: Decimal | None = None
    max_cost_per_hour: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What waits for a person, and why."""

    code: HeldCode
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What may still be spent.

    Attributes:
        left: US dollars of `Consent.max_cost`; None: unbounded.
        left_this_hour: Of `Consent.max_cost_per_hour`; None: unbounded.
        aside: US dollars set aside for what is under way, which `left` does not hold.
    """

    left: Decimal | None = None
    left_this_hour: Decimal | None = None
    aside: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How much of a plan is agreed to.

    Attributes:
        agreed: `changes` is everything but what takes rows or jobs away.
        held: What waits for a person.
        beyond: Whether it asks for more than what was agreed to before may cost.
    """

    agreed: Literal["nothing", "changes", "all"] = "nothing"
    held: tuple[Held, ...] = ()
    beyond: bool = False


def judge(  # noqa: PLR0913 - one keyword per fact
    plan: Plan,
    consent: Consent,
    *,
    standing: Collection[JobAddress] = (),
    coded: Collection[JobAddress] = (),
    room: Room | None = None,
    beyond: bool = False,
) -> Verdict:
    """Say how much of a plan may be done without asking.

    Args:
        plan: For everything there is.
        consent: What is agreed to.
        standing: Jobs made of answers that are on record as they are in the specs: what answers
            make of them was agreed to with them.
        coded: Jobs whose validators and tools are on record as they are in the specs: replies that
            others judged are judged anew, as was agreed.
        room: What may still be spent.
        beyond: Whether going on with what was agreed to costs more than was agreed to.
    """
    changes = beyond or any(_changes(job, standing, coded) for job in plan.jobs)
    removals = plan.counts.get(Kind.FORGET, 0)
    if not changes and not removals:
        return Verdict()
    if consent.approve == "turns":
        code: HeldCode = "BEYOND_AGREED" if beyond else "CONSENT"
        return Verdict(held=(Held(code=code, message=_asks(plan, beyond=beyond)),))
    held: list[Held] = []
    if removals and all(job.removed for job in plan.jobs):
        # A folder that is not mounted, or a checkout in the middle, looks the same.
        held.append(Held(code="NOTHING_LEFT", message=_NOTHING_LEFT))
    elif removals and not consent.prune:
        held.append(Held(code="REMOVALS", message=_removes(removals)))
    if changes and (too_dear := _too_dear(plan, consent, room or Room())):
        return Verdict(held=(*held, too_dear))
    if held:
        return Verdict(agreed="changes" if changes else "nothing", held=tuple(held))
    return Verdict(agreed="all")


def _changes(job: JobPlan, standing: Collection[JobAddress], coded: Collection[JobAddress]) -> bool:
    if job.protects is not None:
        return True
    if job.address in standing:
        # What answers make of it was agreed to, and no second answer to the same request.
        return any(reason.code == "ANSWER_EXPIRED" for reason in job.reasons)
    anew = sum(r.rows for r in job.reasons if r.code == "POLICY_CHANGED" and job.address in coded)
    changed = sum(job.counts.get(kind, 0) for kind in CHANGES) - anew
    return changed > 0 or bool(job.waits_for and job.moves)


def _too_dear(plan: Plan, consent: Consent, room: Room) -> Held | None:
    bounded = room.left is not None or room.left_this_hour is not None
    if bounded and not plan.priced:
        return Held(
            code="UNKNOWN_PRICE",
            message=f"The price of {_unpriced(plan)} is unknown, so that no budget holds. State it "
            "under [providers.NAME.prices] in batchspec.toml; who approves the plan agrees to any.",
        )
    cost = plan.cost_at_most
    if room.left is not None and cost > room.left:
        return Held(code="MAX_COST", message=_exceeds(cost, room.left, "--max-cost", room.aside))
    if room.left_this_hour is not None and cost > room.left_this_hour:
        what = "--max-cost-per-hour, for now"
        if consent.max_cost_per_hour is not None and cost > consent.max_cost_per_hour:
            return Held(code="MAX_COST_PER_HOUR", message=_never(cost, consent.max_cost_per_hour))
        return Held(code="MAX_COST_PER_HOUR", message=_exceeds(cost, room.left_this_hour, what))
    return None


def _unpriced(plan: Plan) -> str:
    models = {job.model for job in plan.jobs if job.requests and job.estimate.cost is None}
    return " and ".join(sorted(models)) or "a model"


def _exceeds(cost: Decimal, left: Decimal, what: str, aside: Decimal = Decimal(0)) -> str:
    told = (
        f"The changes may cost {money(cost, at_most=True)} at most, and {money(max(left, _NONE))} "
        f"is left of {what}"
    )
    if not aside:
        return f"{told}."
    return f"{told}: {money(aside, at_most=True)} is set aside for what is under way."


def _never(cost: Decimal, hourly: Decimal) -> str:
    return (
        f"The changes may cost {money(cost, at_most=True)} at most, more than --max-cost-per-hour "
        f"({money(hourly)}) allows in any hour."
    )


def _asks(plan: Plan, *, beyond: bool) -> str:
    requests = f"{plan.requests:,} request{'' if plan.requests == 1 else 's'}"
    cost = f"{money(plan.cost_at_most, at_most=True)} at most" if plan.priced else "an unknown cost"
    if beyond:
        return (
            "What was agreed to costs more than its plan said, and what exceeds that waits for "
            f"consent: {requests}, {cost}."
        )
    size = f" ({requests}, {cost})" if plan.requests else ""
    return f"Changes wait for consent{size}: {_what(plan)}."


def _what(plan: Plan) -> str:
    """Return what happens to which jobs."""
    jobs = [f"{job.address}: {words}" for job, words in waiting(plan)]
    more = f"; and {len(jobs) - _TOLD} more jobs" if len(jobs) > _TOLD + 1 else ""
    return "; ".join(jobs[:_TOLD] if more else jobs) + more


def _removes(removals: int) -> str:
    return (
        f"{removals} item{'s are' if removals > 1 else ' is'} gone from specs or data, and "
        "forgotten only with `--prune` or when somebody approves it."
    )
