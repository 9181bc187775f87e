"""`batchspec apply`."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from batchspec.cli.amounts import DOLLARS
from batchspec.cli.durations import lock_options
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.selection import refuse_wishes, selection_options
from batchspec.cli.views.apply import ask, show_failures, show_result, tell_plan, tell_result
from batchspec.cli.views.events import JsonEvents, tell_error
from batchspec.cli.views.plan import show_plan
from batchspec.cli.views.planning import planning
from batchspec.cli.views.progress import watching
from batchspec.errors import BatchspecError, DeclinedError, ExitCode
from batchspec.installed import installed_version

if TYPE_CHECKING:
    from batchspec.plan.changes import Plan
    from batchspec.project import Project


@click.command()
@click.argument("planfile", required=False)
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Return once everything that can be sent is sent.")
@click.option("--no-refresh", is_flag=True, help="Plan from the state alone, and ask no provider.")
@click.option("--max-cost", type=DOLLARS, metavar="USD", help="Refuse to spend more than this.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON event per line.")
@selection_options
@lock_options
@scope_options
@click.pass_obj
def apply(  # noqa: PLR0913 - one argument per option
    scope: Scope,
    /,
    *,
    planfile: str | None,
    auto_approve: bool,
    detach: bool,
    no_refresh: bool,
    max_cost: Decimal | None,
    as_json: bool,
    **wishes: Any,
) -> ExitCode:
    """Make it so, and wait until every job is final.

    Shows the plan and asks first; a PLANFILE, saved with `batchspec plan -o`, is applied without a
    question: what it says or less, once. Ctrl-C stops the waiting, not the batches: the next
    `apply` goes on from there.
    """
    if planfile is not None:
        refuse_wishes(wishes, "a saved plan says itself what it is about.")
        auto_approve = True  # it is the consent
    events = JsonEvents() if as_json else None
    try:
        if events and not auto_approve:
            raise DeclinedError("`--json` asks no questions: add `--auto-approve`.")
        with scope.open() as project:
            with planning(quiet=as_json) as hook:
                look = {"refresh": not no_refresh, "told": hook.looking if hook else None}
                plan = _plan(project, planfile, wishes, hook=hook, **look)
            _show(plan, events, project, scope.flags)
            if not plan.can_apply:
                return _finish(project, plan, events, detach=detach, flags=scope.flags)
            if not auto_approve:
                ask(plan)
            with watching(events, scope.flags) as view:
                result = project.apply(plan, hook=view, detach=detach, max_cost=max_cost)
    except BatchspecError as error:
        if events:
            tell_error(events, error)
        raise
    if events:
        tell_result(events, result)
    else:
        show_result(result, flags=scope.flags)
    return result.exit_code


def _plan(
    project: "Project", planfile: str | None, wishes: Mapping[str, Any], **options: Any
) -> "Plan":
    if planfile is None:
        return project.plan(**wishes, **options)
    return project.replan(project.load_plan(planfile), **options)


def _finish(
    project: "Project", plan: "Plan", events: JsonEvents | None, *, detach: bool, flags: str
) -> ExitCode:
    """Bring to an end what nobody has to agree to, and say what failed before."""
    if plan.chores:
        with watching(events, flags) as view:
            result = project.apply(plan, hook=view, detach=detach)
    elif plan.jobs:
        result = project.apply(plan)
    else:
        return ExitCode.DONE
    if events:
        tell_result(events, result)
    else:
        show_failures(result)
    return result.exit_code


def _show(plan: "Plan", events: JsonEvents | None, project: "Project", flags: str) -> None:
    if events:
        events.within(reconcile=project.mint(), serial=plan.serial, plan=plan.id)
        tell_plan(events, plan, installed_version())
    else:
        show_plan(plan, lengths=project.lengths, flags=flags)
