"""`batchspec status [ADDRESS]`."""

import time
from dataclasses import replace

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.status import show_status, show_status_json
from batchspec.errors import ExitCode, UsageError
from batchspec.ids import names
from batchspec.spec.suggest import did_you_mean


@click.command()
@click.argument("address", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@scope_options
@click.pass_obj
def status(scope: Scope, *, address: str | None, as_json: bool) -> ExitCode:
    """Show jobs, batches, counts, cost, and what is waited for.

    Exits with 3 while something is in progress, and with 4 when all is final and items failed.
    """
    with errors_as_json(as_json):
        with scope.open() as project:
            found = project.status()
        if address:
            jobs = tuple(job for job in found.jobs if names(address, job.address))
            if not jobs:
                known = did_you_mean(address, (job.address for job in found.jobs))
                raise UsageError(f"No job {address!r} is recorded. {known}")
            found = replace(
                found,
                jobs=jobs,
                batches=tuple(b for b in found.batches if any(j.address in b.jobs for j in jobs)),
                waiting=tuple(t for t in found.waiting if any(j.address in t for j in jobs)),
                missing=tuple(m for m in found.missing if any(j.address == m.job for j in jobs)),
                hooks=tuple(h for h in found.hooks if any(j.address == h.job for j in jobs)),
            )
    if as_json:
        show_status_json(found)
    else:
        show_status(found, now=time.time(), flags=scope.flags)
    if not found.done:
        return ExitCode.IN_PROGRESS
    return ExitCode.FAILED_ITEMS if any(job.failed for job in found.jobs) else ExitCode.DONE
