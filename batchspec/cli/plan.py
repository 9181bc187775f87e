"""`batchspec plan`."""

from pathlib import Path
from typing import Any

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.selection import refuse_wishes, selection_options
from batchspec.cli.views.documents import plan_document
from batchspec.cli.views.drift import drift_document, show_drift
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.plan import show_plan
from batchspec.cli.views.planning import planning
from batchspec.cli.views.saved import saved_document, show_saved, show_saved_plan
from batchspec.cli.views.streams import print_json
from batchspec.errors import ExitCode, UsageError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@click.option("--explain", is_flag=True, help="Show unchanged jobs too, and the code of a reason.")
@click.option("--no-refresh", is_flag=True, help="Plan from the state alone, and ask no provider.")
@click.option(
    "--refresh-only", is_flag=True, help="Show only what `refresh` would find at the provider."
)
@click.option(
    "-o", "output", metavar="FILE", help="Save the plan for `batchspec apply FILE`, once."
)
@click.option("--read", "saved", metavar="FILE", help="Show a saved plan; looks at nothing else.")
@selection_options
@scope_options
@click.pass_obj
def plan(  # noqa: PLR0913 - one argument per option
    scope: Scope,
    /,
    *,
    as_json: bool,
    detailed_exitcode: bool,
    explain: bool,
    no_refresh: bool,
    refresh_only: bool,
    output: str | None,
    saved: str | None,
    **wishes: Any,
) -> ExitCode:
    """Show what would change, why, and what it costs. Nothing is sent."""
    if refresh_only:
        if no_refresh or output or saved or any(wishes.values()):
            raise UsageError(
                "`--refresh-only` looks at batches alone: leave out what is about rows."
            )
        return _drift(scope, as_json=as_json, detailed_exitcode=detailed_exitcode)
    if saved is not None:
        refuse_wishes({**wishes, "output": output}, "`--read` shows a plan as it was made.")
        return _read(saved, as_json=as_json, explain=explain, detailed_exitcode=detailed_exitcode)
    if output == "-":
        raise UsageError("A saved plan is no text: give `-o` the name of a file.")
    with errors_as_json(as_json), scope.open() as project, planning(quiet=as_json) as hook:
        made = project.plan(
            **wishes,
            whole=False,
            refresh=not no_refresh,
            hook=hook,
            told=hook.looking if hook else None,
        )
        lengths = project.lengths
        if output is not None:
            project.save_plan(made, output)
    if as_json:
        print_json(plan_document(made))
    else:
        show_plan(made, explain=explain, lengths=lengths, flags=scope.flags)
        if output is not None:
            show_saved(output, flags=scope.flags)
    return ExitCode.CHANGES if detailed_exitcode and made.can_apply else ExitCode.DONE


def _drift(scope: Scope, *, as_json: bool, detailed_exitcode: bool) -> ExitCode:
    with errors_as_json(as_json), scope.open() as project, planning(quiet=as_json) as hook:
        found = project.drift(told=hook.looking if hook else None)
    if as_json:
        print_json(drift_document(found.findings, found.warnings))
    else:
        show_drift(found.findings, found.warnings)
    return ExitCode.CHANGES if detailed_exitcode and found.findings else ExitCode.DONE


def _read(name: str, *, as_json: bool, explain: bool, detailed_exitcode: bool) -> ExitCode:
    from batchspec.project.planfiles import read_plan  # noqa: PLC0415 - loads the package

    with errors_as_json(as_json):
        saved = read_plan(Path(name))
    if as_json:
        print_json(saved_document(saved))
    else:
        show_saved_plan(saved, explain=explain)
    return ExitCode.CHANGES if detailed_exitcode and saved.plan.can_apply else ExitCode.DONE
