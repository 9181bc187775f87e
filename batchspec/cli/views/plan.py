"""The plan for people: what would happen to each job, why, and what it costs."""

from collections.abc import Iterable, Mapping, Sequence

from rich.text import Text

from batchspec.cli.views.drift import finding_line
from batchspec.cli.views.folding import Block, folded
from batchspec.cli.views.missing import missing_lines, missing_sentences
from batchspec.cli.views.streams import print_prose, stderr, stdout
from batchspec.cli.views.words import (
    PRICE_UNKNOWN,
    clean,
    count,
    counted,
    listed,
    money,
    pasted,
    quoted,
    tokens,
)
from batchspec.ids import group_of
from batchspec.plan.changes import Difference, Finding, JobPlan, Kind, Plan, Reason, ReasonCode
from batchspec.plan.counts import ORDER, WORDS, told
from batchspec.plan.estimate import USUAL, Lengths

STYLES: Mapping[Kind, str] = {
    Kind.SUBMIT: "green",
    Kind.UPDATE: "yellow",
    Kind.RESUBMIT: "red",
    Kind.CONTINUE: "cyan",
    Kind.REUSE: "blue",
    Kind.CANCEL: "red",
    Kind.FORGET: "bright_black",
    Kind.DRIFT: "magenta",
    Kind.UNKNOWN: "bold yellow",
    Kind.KEEP: "bright_black",
}

_HEADLINES: Mapping[Kind, str] = {
    Kind.SUBMIT: "will be submitted",
    Kind.UPDATE: "will be judged again from stored replies, free",
    Kind.RESUBMIT: "must be resubmitted",
    Kind.CONTINUE: "goes on",
    Kind.REUSE: "takes over answers already paid for",
    Kind.CANCEL: "will be cancelled",
    Kind.FORGET: "will be forgotten",
    Kind.DRIFT: "has changed at the provider",
    Kind.UNKNOWN: "has a submission whose outcome is unknown",
    Kind.KEEP: "is unchanged",
}

REASONS: Mapping[ReasonCode, str] = {
    "NEW_JOB": "the job is new",
    "NEW_ROWS": "the rows are not on record yet",
    "ROW_CHANGED": "the data of the row changed",
    "ROW_DATA_CHANGED": "the row changed, but not what the model sees of it",
    "PROMPT_CHANGED": "the prompt changed",
    "MODEL_CHANGED": "the model changed",
    "SCHEMA_CHANGED": "the output schema changed",
    "TOOL_CONTRACT_CHANGED": "what the model is told of a tool changed",
    "SETTINGS_CHANGED": "the settings changed",
    "TRIGGERED": "a trigger changed, so that it is asked again",
    "POLICY_CHANGED": "code that runs here changed: tools, validators or the output type",
    "SAME_REQUEST": "the same request was paid for before",
    "MOVED": "it was renamed",
    "REQUESTED": "asked for with --replace",
    "TAINTED": "its answer is tainted",
    "ANSWER_EXPIRED": "its answer is older than `expires_after` allows",
    "FAILED": "it ended without an answer, and is asked for with --failed",
    "BATCH_EXPIRED": "the batch expired",
    "CANCELLED": "it was cancelled before it was answered",
    "BATCH_CANCELLED_REMOTELY": "the batch was cancelled at the provider",
    "BATCH_FAILED": "the batch failed",
    "BATCH_GONE": "the provider does not know the batch any more",
    "OUTPUT_GONE": "the results are gone at the provider",
    "FOREIGN_LINEAGE": "the batch has the tag of another state",
    "ACCOUNT_CHANGED": "the batch is at another account",
    "BATCH_IN_PROGRESS": "the batch is in progress",
    "TURN_PENDING": "a turn is ready to be sent",
    "TOOL_CALLS_PENDING": "tool calls are to be run",
    "OUTCOME_UNKNOWN": "no answer came; it is looked for before anything is paid again",
    "UPSTREAM_PENDING": "its rows come from another job",
    "ROW_REMOVED": "the row is gone from the data",
    "JOB_REMOVED": "the job is gone from the specs",
    "PROTECT_CHANGED": "its protection changed",
    "UNWANTED": "no row wants what is in the batch any more",
}

_WIDE = 76
"""Both values of a difference stand on one line up to this length."""
_NAME = 32
"""Up to this length, names of variants have a column of their own."""


def show_plan(
    plan: Plan, *, explain: bool = False, lengths: Lengths = USUAL, flags: str = ""
) -> None:
    """Print a plan.

    Args:
        plan: What would happen.
        explain: Also show unchanged jobs and the code of every reason, and every variant and sample
            in full.
        lengths: Of a reply where a job sets no bound.
        flags: The shared options of this run, for the commands it names.
    """
    print_prose(stdout(), plan_lines(plan, explain=explain, lengths=lengths))
    for note in plan.notes:
        print_prose(stderr(), [Text.assemble(("Note: ", "cyan"), clean(pasted(note, flags)))])
    for warning in plan.warnings:
        print_prose(
            stderr(), [Text.assemble(("Warning: ", "yellow"), clean(pasted(warning, flags)))]
        )


def plan_lines(plan: Plan, *, explain: bool = False, lengths: Lengths = USUAL) -> list[Text]:
    """Return the lines of `show_plan` that stand on stdout."""
    shown = [job for job in plan.jobs if job.changes or explain]
    lines = [_header(plan)]
    if plan.findings or any(job.changes for job in shown):
        lines.append(_legend(shown, plan.findings))
    blocks = [Block(job, [job]) for job in shown] if explain else folded(shown, _leading, plan.jobs)
    for block in blocks:
        lines += [Text(), *_block(plan, block, explain=explain)]
    others = {job.address for job in shown}
    if rest := [found for found in plan.findings if others.isdisjoint(found.jobs)]:
        lines += [Text(), *(finding_line(found, jobs=True) for found in rest)]
    return [*lines, Text(), *_totals(plan, lengths)]


def _header(plan: Plan) -> Text:
    simulated = Text(" (simulated)", "magenta") if plan.simulated else Text()
    place = f"lineage …{clean(plan.lineage[-8:])}, serial {plan.serial}"
    return Text.assemble(
        "Environment ", (clean(plan.environment), "bold"), simulated, (f", {place}", "dim")
    )


def _legend(jobs: Iterable[JobPlan], findings: Iterable[Finding]) -> Text:
    used = {_leading(job) for job in jobs if job.changes}
    used |= {found.kind for found in findings}
    used |= {reason.kind for job in jobs for reason in job.reasons}
    words = [(k.value, k.meaning) for k in ORDER if k in used and k is not Kind.KEEP]
    return Text("Symbols: " + "   ".join(f"{symbol} {word}" for symbol, word in words), "dim")


def _leading(job: JobPlan) -> Kind:
    if job.waits_for and (job.requests or set(job.counts) <= {Kind.KEEP}):
        return Kind.SUBMIT
    moved = (kind for kind in ORDER if kind is not Kind.KEEP and job.counts.get(kind))
    return next(moved, Kind.KEEP if job.protects is None else Kind.UPDATE)


def _block(plan: Plan, block: Block, *, explain: bool) -> list[Text]:
    mine = {job.address for job in block.members}
    findings = [found for found in plan.findings if not mine.isdisjoint(found.jobs)]
    lacks = [words for m in plan.missing if m.job in mine for words in missing_sentences(m)]
    lines = _job(block, findings, explain=explain)
    return [*lines, *(_fact("missing", f"as it is now, {one}") for one in dict.fromkeys(lacks))]


def _job(block: Block, findings: Iterable[Finding], *, explain: bool) -> list[Text]:
    job = block.job
    kind = _leading(job)
    style = STYLES[kind]
    name = (block.title(), "bold")
    headline = Text.assemble("  # ", name, f" {_headline(job, kind)}")
    symbol = Text(f"{kind.value:>3} ", style)
    title = Text.assemble(symbol, name, (f"  {clean(job.model)}", "dim"))
    shown = [r for r in job.reasons if explain or r.kind is not Kind.KEEP]
    because = [_because(reason, job, explain=explain) for reason in shown]
    examples = [line for reason in shown for line in _example(reason)]
    found = map(finding_line, findings)
    facts = [_fact(*fact) for fact in _facts(job)]
    return [headline, *because, title, *found, *examples, *_members(block), *facts]


def _members(block: Block) -> list[Text]:
    """Return a line for each variant of a block that stands for several."""
    if not block.folded:
        return []
    lines = [_fact("of", block.told())]
    variants = block.variants()
    if len(variants) == 1:
        return lines
    width = min(max(map(len, variants)), _NAME)
    several = len({job.model for job in variants.values()}) > 1
    for name, job in variants.items():
        told = counted(job.requests, "request") if job.waits_for else changes(job)
        most = "at most " if job.waits_for else ""
        cost = f", {_cost(job)}" if job.requests else ""
        model = f"  {clean(job.model)}" if several and job.model not in name else "", "dim"
        lines.append(Text.assemble(f"        {name:<{width}}  {most}{told}{cost}", model))
    return lines


def _headline(job: JobPlan, kind: Kind) -> str:
    words = _HEADLINES[kind]
    if job.protects is not None and not job.counts.get(kind):
        return "will be protected" if job.protects else "will not be protected any more"
    if job.waits_for and kind is Kind.SUBMIT:
        sources = _sources(job)
        return f"{words} once {listed(sources)} {'is' if len(sources) == 1 else 'are'} final"
    rows = job.counts.get(kind, 0)
    if job.moved_from is not None and kind is Kind.REUSE:
        return f"is {clean(job.moved_from)}, renamed: free ({counted(rows, 'row')})"
    if kind is Kind.FORGET or rows >= job.rows:
        return f"{words} ({counted(rows, 'row')})"
    return f"{words} in part ({count(rows)} of {counted(job.rows, 'row')})"


def _because(reason: Reason, job: JobPlan, *, explain: bool) -> Text:
    words = REASONS[reason.code]
    parts = [f"  # (because {words}"]
    if reason.rows and (reason.rows != job.rows or explain):
        parts.append(f": {counted(reason.rows, 'row')} {WORDS[reason.kind]}")
    if reason.cost is not None:
        parts.append(f", est. {money(reason.cost)}")
    if reason.note:
        parts.append(f"; {clean(reason.note)}")
    return Text.assemble("".join(parts), ")", (f"  {reason.code}" if explain else "", "dim"))


def _example(reason: Reason) -> list[Text]:
    if reason.difference is None:
        return []
    after = [] if reason.example_key is None else [f"e.g. row {quoted(reason.example_key)}"]
    if reason.kind is Kind.RESUBMIT:
        after.insert(0, "forces resubmit")
    return _difference(reason.difference, ", ".join(after))


def _difference(difference: Difference, comment: str) -> list[Text]:
    path, before, after = map(clean, (difference.path, difference.before, difference.after))
    note = (f"    # {comment}" if comment else "", "dim")
    if len(before) + len(after) <= _WIDE:
        change = ((before, "red"), " -> ", (after, "green"))
        return [Text.assemble(f"      {path:<9} ", *change, note)]
    return [
        Text.assemble(f"      {path}", note),
        Text.assemble("        - ", (before, "red")),
        Text.assemble("        + ", (after, "green")),
    ]


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"      {name:<9} ", "dim"), value)


def _facts(job: JobPlan) -> list[tuple[str, str]]:
    facts = [("rows", changes(job))] if job.counts or job.waits_for else []
    if job.superseded:
        rows = f"{counted(job.superseded, 'row is', 'rows are')} in a batch as before"
        facts.append(("in flight", f"{rows}: what comes back is paid for and kept, not shown"))
    if job.forgets_at_most:
        items = counted(job.forgets_at_most, "item")
        facts.append(("forget", f"up to {items}, where no row comes back for them"))
    if not job.requests:
        return facts
    estimate = job.estimate
    size = f"{tokens(estimate.input_tokens)} tokens in, {tokens(estimate.output_tokens)} out"
    turns = f", at most {job.max_turns} turns each" if job.max_turns > 1 else ""
    about = "at most " if job.waits_for else ""
    facts.append(("send", f"{about}{counted(job.requests, 'request')}{turns}, about {size}"))
    if job.runs_at:
        facts.append(("runs", f"in this process, against {clean(job.runs_at)}"))
    return [*facts, ("cost", _cost(job))]


def _sources(job: JobPlan) -> list[str]:
    """Return the jobs whose answers a job waits for; all variants of one have its name."""
    return [clean(address) for address in dict.fromkeys(map(group_of, job.waits_for))]


def changes(job: JobPlan) -> str:
    """Return what happens to the rows of a job: `10 to submit, 3 unchanged`."""
    if job.waits_for:
        kept = told(job.counts)
        more = f"; {kept}" if kept else ""
        return f"known after {listed(_sources(job))}: at most {count(job.requests)}{more}"
    return told(job.counts)


def _cost(job: JobPlan) -> str:
    estimate = job.estimate
    if estimate.cost is None:
        return PRICE_UNKNOWN
    known = f"est. {money(estimate.cost)}"
    bound = estimate.cost_at_most
    if bound is None or bound <= estimate.cost:
        return known
    return f"{known}, at most {money(bound, at_most=True)}"


def _totals(plan: Plan, lengths: Lengths) -> list[Text]:
    if not plan.can_apply:
        rows = sum(job.rows for job in plan.jobs)
        what = f"{counted(len(plan.jobs), 'job')}, {counted(rows, 'row')}"
        nothing = Text.assemble(("No changes.", "bold"), f" {what}; nothing to do.")
        return [nothing, *missing_lines(plan.missing)]
    sending = (
        f"; {counted(plan.requests, 'request')} in {counted(plan.batches, 'batch', 'batches')}"
    )
    changes_told = told(plan.counts) or "rows become known on the way"
    cancels = sum(found.kind is Kind.CANCEL for found in plan.findings)
    stopping = f"; {counted(cancels, 'batch', 'batches')} to cancel" if cancels else ""
    sent = sending if plan.requests else ""
    lines = [Text.assemble(("Plan: ", "bold"), changes_told, sent, stopping, ".")]
    if plan.requests:
        lines.append(Text.assemble(("Cost: ", "bold"), *_total_cost(plan, lengths)))
    return lines


def _total_cost(plan: Plan, lengths: Lengths) -> Sequence[str | tuple[str, str]]:
    parts: list[str | tuple[str, str]] = []
    if any(job.estimate.cost is not None for job in plan.jobs if job.requests):
        parts.append((f"est. {money(plan.cost)}", "bold"))
        if plan.cost_at_most > plan.cost:
            further = any(job.max_turns > 1 for job in plan.jobs if job.requests)
            bound = money(plan.cost_at_most, at_most=True)
            parts.append(f", at most {bound}{' with further turns' if further else ''}")
    unpriced = [job for job in plan.jobs if job.requests and job.estimate.cost is None]
    if unpriced:
        more = ", and " if parts else ""
        models = listed(sorted({clean(job.model) for job in unpriced}))
        parts.append((f"{more}{PRICE_UNKNOWN} for {models}", "yellow"))
    if any(job.estimate.output_assumed for job in plan.jobs if job.requests):
        parts.append(f", assuming {counted(lengths.assumed, 'output token')} per reply")
        if plan.cost_at_most > plan.cost:
            parts.append(f" and at most {count(lengths.longest)}")
        parts.append(" (set max_tokens for a bound)")
    if plan.spent and not plan.simulated:
        parts.append(f". Spent so far {money(plan.spent)}")
    return [*parts, ". Simulated: nothing is paid." if plan.simulated else "."]
