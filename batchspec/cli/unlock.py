"""`batchspec unlock ID`."""

import time

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.asking import confirm
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.unlock import show_holder, show_unlocked, show_unlocked_json
from batchspec.store.lease import gone


@click.command()
@click.argument("lock", metavar="ID")
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@scope_options
@click.pass_obj
def unlock(scope: Scope, *, lock: str, auto_approve: bool, as_json: bool) -> None:
    """Take the lock on the state away from a process that hangs.

    ID is the one that the message about the lock and `batchspec status` show; its first characters
    do, 8 at least. The process that held it cannot write any more: its next attempt ends it.
    """
    with errors_as_json(as_json), scope.open() as project:
        held = project.lock(lock)
        if held is not None:
            if not as_json:
                now = time.time()
                show_holder(held, now=now, free=gone(held, now))
            if not auto_approve:
                confirm("Take the lock away from it?")
            project.unlock(held)
    if as_json:
        show_unlocked_json(held)
    else:
        show_unlocked(held)
