"""How the changes of a plan are counted in words, in the plan and in what waits for consent."""

from collections.abc import Collection, Mapping, Sequence

from batchspec.plan.changes import JobPlan, Kind, Plan

ORDER = (
    Kind.RESUBMIT,
    Kind.SUBMIT,
    Kind.DRIFT,
    Kind.CONTINUE,
    Kind.UNKNOWN,
    Kind.CANCEL,
    Kind.UPDATE,
    Kind.REUSE,
    Kind.FORGET,
    Kind.KEEP,
)
"""A job is shown under the first of these it has rows of; counts are told in this order."""

WORDS: Mapping[Kind, str] = {
    Kind.SUBMIT: "to submit",
    Kind.UPDATE: "to update (free)",
    Kind.RESUBMIT: "to resubmit",
    Kind.CONTINUE: "to continue",
    Kind.REUSE: "to reuse",
    Kind.CANCEL: "to cancel",
    Kind.FORGET: "to forget",
    Kind.DRIFT: "drifted",
    Kind.UNKNOWN: "unknown",
    Kind.KEEP: "unchanged",
}

CHANGES = frozenset({Kind.SUBMIT, Kind.RESUBMIT, Kind.REUSE, Kind.UPDATE})
"""What somebody has to agree to, beside that rows are forgotten."""


def told(counts: Mapping[Kind, int], kinds: Collection[Kind] = ORDER) -> str:
    """Return counts in words: `10 to submit, 3 unchanged`; empty: there are none.

    Args:
        counts: How many rows there are of each kind.
        kinds: Those that are told.
    """
    return ", ".join(
        f"{counts[kind]:,} {WORDS[kind]}" for kind in ORDER if kind in kinds and counts.get(kind)
    )


def waiting(plan: Plan) -> Sequence[tuple[JobPlan, str]]:
    """Return what of each job waits for consent, in words; without jobs of which nothing does."""
    found: list[tuple[JobPlan, str]] = []
    for job in plan.jobs:
        words = told(job.counts, CHANGES | {Kind.FORGET})
        if job.waits_for and job.moves:
            coming = f"at most {job.requests:,} to submit once rows are known"
            words = ", ".join(filter(None, (words, coming)))
        if job.protects is not None:
            kept = "protected" if job.protects else "not protected any more"
            words = ", ".join(filter(None, (words, kept)))
        if words:
            found.append((job, words))
    return found
