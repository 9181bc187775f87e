"""`batchspec destroy [ADDRESS…]`."""

import click

from batchspec.cli.durations import lock_options
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.asking import confirm
from batchspec.cli.views.destroy import show_destroyed, show_destroyed_json, show_removal
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.progress import watching
from batchspec.errors import ExitCode
from batchspec.state.removed import Removal


@click.command()
@click.argument("addresses", metavar="[ADDRESS…]", nargs=-1)
@click.option("--answers", is_flag=True, help="Delete answers no other job wants, too.")
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Do not wait for cancelled batches to end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@lock_options
@scope_options
@click.pass_obj
def destroy(  # noqa: PLR0913 - one argument per option
    scope: Scope,
    *,
    addresses: tuple[str, ...],
    answers: bool,
    auto_approve: bool,
    detach: bool,
    as_json: bool,
) -> ExitCode:
    """Remove jobs or items from the state: all of them, unless some are named.

    Open batches are cancelled and waited for, files of batches are deleted at the provider, items
    are forgotten. Answers stay and can be reused without paying, unless `--answers` is given. The
    history of the state stays. Interrupted, the same command goes on.
    """
    with errors_as_json(as_json), scope.open() as project:
        removal = project.removable(*addresses)
        if not as_json:
            show_removal(removal, answers=answers)
        if not auto_approve:
            _ask(removal)
        if as_json:
            result = project.destroy(*addresses, answers=answers, detach=detach)
        else:
            with watching(None, scope.flags) as view:
                result = project.destroy(*addresses, answers=answers, detach=detach, hook=view)
    if as_json:
        show_destroyed_json(result)
    else:
        show_destroyed(result, flags=scope.flags)
    return result.exit_code


def _ask(removal: Removal) -> None:
    word = removal.environment if removal.everything else "yes"
    what = f"everything in environment {removal.environment!r}" if removal.everything else "this"
    confirm(f"Remove {what}?", declined="Declined; nothing was removed.", word=word)
