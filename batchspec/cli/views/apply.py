"""What `apply` asks before it begins, and what it tells at the end."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from batchspec.cli.views.documents import job_plan, progress_document
from batchspec.cli.views.drift import finding_document
from batchspec.cli.views.events import JsonEvents, tell_version
from batchspec.cli.views.failures import diagnostic_document, diagnostic_lines
from batchspec.cli.views.missing import missing_document, show_missing
from batchspec.cli.views.plan import changes
from batchspec.cli.views.resumable import show_resumable
from batchspec.cli.views.status import job_lines
from batchspec.cli.views.streams import line_width, print_prose, print_table, stderr, stdout
from batchspec.cli.views.words import PRICE_UNKNOWN, clean, counted, listed, money
from batchspec.errors import DeclinedError, ExitCode
from batchspec.ids import group_of
from batchspec.plan.changes import Plan
from batchspec.state.records import JobProgress

if TYPE_CHECKING:
    from batchspec.project.values import ApplyResult


def ask(plan: Plan) -> None:
    """Ask a person whether to apply a plan; what was agreed to before is not asked again.

    Raises:
        DeclinedError: The answer is not literally `yes`, or there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise DeclinedError(
            "Nobody is there to agree to the plan: this is no terminal. "
            "Look at `batchspec plan -o FILE` and apply that file, or run "
            "`batchspec apply --auto-approve`, best with a ceiling (`--max-cost USD`)."
        )
    console = stderr()
    if plan.agreed_before:
        print_prose(console, [Text(), Text("Going on with what was agreed to."), Text()])
        return
    print_prose(console, [Text(), _question(plan)])
    console.print(Text("Only 'yes' is accepted: ", "bold"), end="")
    if sys.stdin.readline().strip() != "yes":
        raise DeclinedError("Declined; nothing was sent.")
    print_prose(console, [Text()])


def _question(plan: Plan) -> Text:
    where = "" if plan.environment == "default" else f" in environment {plan.environment!r}"
    cost = _price(plan)
    return Text.assemble((f"Apply this plan{where}?", "bold"), f" {cost}" if cost else "")


def _price(plan: Plan) -> str:
    if not plan.requests:
        return "It sends no new request."
    if not plan.priced and not plan.simulated:
        return f"Not every price is known ({PRICE_UNKNOWN} above)."
    if plan.simulated:
        return "It is simulated and costs nothing."
    bound = money(plan.cost_at_most, at_most=True)
    more = f", at most {bound}" if plan.cost_at_most > plan.cost else ""
    return f"It costs est. {money(plan.cost)}{more}."


def show_failures(result: "ApplyResult") -> None:
    """Say which jobs have items that ended without an answer, and which lack rows, if any do."""
    print_prose(stdout(), _failures(result.jobs))
    show_missing(result.missing)


def show_result(result: "ApplyResult", *, flags: str) -> None:
    """Print how an apply ended, and what to do next.

    Args:
        result: The end.
        flags: The shared options of this run, for commands that can be pasted.
    """
    if result.nothing:
        print_prose(stdout(), [Text("Nothing to do.", "bold")])
        return
    told = [job for job in result.jobs if job.items and not job.removed]
    if told:
        print_prose(stdout(), [Text()])
        print_table(stdout(), job_lines(told, width=line_width(stdout())))
        print_prose(stdout(), _failures(told))
        show_missing(result.missing)
        show_resumable(told, flags)
        print_prose(stdout(), [*_grades(told), Text()])
    if result.note:
        print_prose(stdout(), [Text(clean(result.note))])
    print_prose(stdout(), [_verdict(result), *_next(result, told, flags)])
    if result.problems:
        print_prose(stderr(), diagnostic_lines(result.problems, _left(result)))
    for sentence in result.refused:
        print_prose(stderr(), [Text.assemble(("Refused: ", "bold red"), clean(sentence))])
    for warning in result.warnings:
        print_prose(stderr(), [Text.assemble(("Warning: ", "yellow"), clean(warning))])


def _left(result: "ApplyResult") -> str:
    """Say of which jobs nothing was done, and how they go on."""
    jobs = listed(clean(job) for job in result.left)
    were = "was" if len(result.left) == 1 else "were"
    return f"; {jobs} {were} left alone, and will go on once this is mended and applied again"


def _grades(jobs: Sequence[JobProgress]) -> list[Text]:
    lines = [
        Text(f"{clean(job.address)}: mean grade {grade} of {counted(grade.items, 'item')}")
        for job in jobs
        if (grade := job.grade) is not None
    ]
    return [Text(), *lines] if lines else []


def _failures(jobs: Sequence[JobProgress]) -> list[Text]:
    lines: list[Text] = []
    for job in jobs:
        if job.failed:
            kinds = [f"{n:,} {o}" for o, n in job.outcomes.items() if n and o != "succeeded"]
            told = f"{clean(job.address)}: {counted(job.failed, 'item')} without an answer: "
            lines.append(Text.assemble((told, "red"), ", ".join(kinds)))
    return [Text(), *lines] if lines else []


def _verdict(result: "ApplyResult") -> Text:
    items = sum(job.items for job in result.jobs)
    final = sum(job.final for job in result.jobs)
    if result.interrupted:
        where = "Batches at the provider go on"
        if result.stopping:
            where = f"Batches of {', '.join(result.stopping)} stop here, and go on at the line"
        return Text(f"Interrupted. {where}; nothing recorded is lost.", "bold")
    left = len(result.refused) + len(result.left)
    if left and result.done:
        jobs = counted(left, "job was", "jobs were")
        return Text(f"Finished; {jobs} left alone.", "bold red")
    if not result.done:
        return Text(f"In progress: {final:,} of {items:,} items are final.", "bold")
    if result.failed:
        return Text(f"Finished, with {counted(result.failed, 'failed item')}.", "bold red")
    return Text(f"Done: {counted(items, 'item')} succeeded.", "bold green")


def _next(result: "ApplyResult", jobs: list[JobProgress], flags: str) -> list[Text]:
    if result.interrupted or not result.done:
        return _hint(f"batchspec apply{flags}", "to go on")
    shown = [job for job in jobs if job.failed] if result.failed else jobs
    if not shown:
        return []
    option = " --failed" if result.failed else ""
    group = group_of(shown[0].address)
    if group != shown[0].address and not option:
        return _hint(f"batchspec compare {clean(group)}{flags}", "")
    return _hint(f"batchspec results {clean(shown[0].address)}{option}{flags}", "")


def _hint(command: str, why: str) -> list[Text]:
    return [Text.assemble(("Next: ", "dim"), (command, "cyan"), f"  ({why})" if why else "")]


def tell_plan(events: JsonEvents, plan: Plan, version: str) -> None:
    """Emit the events that stand before the first deed."""
    tell_version(events, version)
    for finding in plan.findings:
        document = finding_document(finding)
        events.emit(document["kind"], document["message"], level="warn", finding=document)
    for job in plan.jobs:
        if job.changes:
            message = f"{job.address}: {changes(job)}"
            events.emit("planned_change", message, change=job_plan(job))
    for warning in plan.warnings:
        events.emit("log", warning, level="warn")
    events.emit(
        "change_summary",
        f"{counted(plan.requests, 'request')} in {counted(plan.batches, 'batch', 'batches')}",
        plan_id=plan.id,
        environment=plan.environment,
        changes=plan.can_apply,
        requests=plan.requests,
        batches=plan.batches,
        cost_usd=float(plan.cost) if plan.priced else None,
        cost_at_most_usd=float(plan.cost_at_most) if plan.priced else None,
    )


def tell_result(events: JsonEvents, result: "ApplyResult") -> None:
    """Emit the last event."""
    events.emit(
        "apply_summary",
        _verdict(result).plain if not result.nothing else "Nothing to do.",
        level="info" if result.exit_code == ExitCode.DONE else "warn",
        done=result.done,
        nothing=result.nothing,
        interrupted=result.interrupted,
        failed=result.failed,
        note=result.note,
        refused=list(result.refused),
        problems=[diagnostic_document(one) for one in result.problems],
        left=list(result.left),
        missing=[missing_document(one) for one in result.missing],
        exit_code=int(result.exit_code),
        jobs=[progress_document(job) for job in result.jobs],
        mean_grades={job.address: job.grade.mean for job in result.jobs if job.grade},
    )
