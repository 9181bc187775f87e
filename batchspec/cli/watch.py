"""`batchspec watch`."""

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import anyio
import click

from batchspec.cli.amounts import DOLLARS
from batchspec.cli.scope import Scope, scope_options
from batchspec.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from batchspec.watch.start import Address


@click.command()
@click.option(
    "--approve",
    type=click.Choice(["turns", "all"]),
    default="turns",
    show_default=True,
    help="What is done without asking: only what was agreed to goes on, or changes too.",
)
@click.option("--max-cost", type=DOLLARS, metavar="USD", help="Submit changes up to this, in all.")
@click.option(
    "--max-cost-per-hour", type=DOLLARS, metavar="USD", help="And up to this within an hour."
)
@click.option("--prune", is_flag=True, help="Forget rows and jobs that are gone without asking.")
@click.option(
    "--listen",
    metavar="[HOST:]PORT",
    help="Serve /livez, /readyz, /metrics and /webhooks; by default on this machine only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON event per line.")
@click.option(
    "--log-format",
    type=click.Choice(["human", "json"]),
    help="Lines with the time, also on a terminal, or the same as --json.",
)
@scope_options
@click.pass_obj
def watch(  # noqa: PLR0913 - one argument per option
    scope: Scope,
    /,
    *,
    approve: Literal["turns", "all"],
    max_cost: Decimal | None,
    max_cost_per_hour: Decimal | None,
    prune: bool,
    listen: str | None,
    as_json: bool,
    log_format: Literal["human", "json"] | None,
) -> ExitCode:
    """Keep it so: reconcile for ever, and load specs and data anew when files change.

    What was agreed to goes on: batches are looked at, tools run, further turns are sent. Changes of
    specs and data wait until somebody approves them (`batchspec approve`), unless `--approve=all`
    says otherwise. A spec that does not load changes nothing: what was in force stays in force.
    Ctrl-C or SIGTERM ends it; batches at the provider continue. SIGHUP loads everything anew.
    """
    if approve == "all" and max_cost is None and not scope.simulate:
        raise UsageError(
            "`--approve=all` submits changes by itself: say how much that may cost with "
            "`--max-cost`."
        )
    if approve == "turns" and (max_cost is not None or max_cost_per_hour is not None or prune):
        raise UsageError(
            "`--max-cost`, `--max-cost-per-hour` and `--prune` are about changes that are done "
            "without asking: add `--approve=all`."
        )
    if as_json and log_format == "human":
        raise UsageError("`--json` and `--log-format=human` say different things.")
    from batchspec.cli.views.progress import logging  # noqa: PLC0415 - slow
    from batchspec.cli.views.watch import tell_begun, tell_stopped  # noqa: PLC0415
    from batchspec.plan.consent import Consent  # noqa: PLC0415
    from batchspec.watch.start import watcher  # noqa: PLC0415

    consent = Consent(
        approve=approve, prune=prune, max_cost=max_cost, max_cost_per_hour=max_cost_per_hour
    )
    with (
        scope.open() as project,
        logging("json" if as_json else log_format, scope.flags) as view,
        watcher(project, consent, view, _address(listen)) as supervisor,
    ):
        project.close()  # engines use the state, this process does not
        tell_begun(view, project, consent)
        anyio.run(supervisor.run)
        tell_stopped(view)
    return ExitCode(128 + supervisor.signals[0]) if supervisor.signals else ExitCode.DONE


def _address(listen: str | None) -> "Address | None":
    """Return where to listen, of `8080`, `0.0.0.0:8080` or `[::1]:8080`."""
    from batchspec.watch.start import Address  # noqa: PLC0415 - slow

    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"{listen!r} is no place to listen at: write `8080` or `0.0.0.0:8080`.")
    return Address(host.strip("[]") or "127.0.0.1", int(port))
