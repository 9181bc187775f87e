"""`batchspec simulator`: the embedded server as a process of its own."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path

import click

from batchspec.cli.simulator_faults import faults, scenarios


@click.group()
def simulator() -> None:
    """Run the embedded server that stands in for a provider."""


simulator.add_command(faults)
simulator.add_command(scenarios)


@simulator.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, help="Port; 0 for any free one.")
@click.option(
    "--directory",
    default=Path("state/simulator"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where files and batches are kept.",
)
@click.option(
    "--answers",
    metavar="[MODEL=]REF",
    multiple=True,
    help="Source of answers, of all models or of those that fit a pattern: "
    "path/to/file.py:function or path/to/file.jsonl; by default they are made up from the "
    "requests. Can be given several times; the first that fits counts.",
)
@click.option(
    "--pace",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Factor on the time batches take; at 1 about ten seconds, at 0 none.",
)
@click.option(
    "--enqueued-token-limit",
    type=click.IntRange(min=1),
    help="Prompt tokens allowed in open batches of one model.",
)
@click.option(
    "--scenario",
    "wanted",
    metavar="NAME|FILE",
    multiple=True,
    help="Faults to have, see `batchspec simulator scenarios`; may be repeated.",
)
@click.option("--seed", default=0, show_default=True, help="Of what the faults draw.")
def serve(  # noqa: PLR0913, PLR0917  one argument per option
    host: str,
    port: int,
    directory: Path,
    answers: Sequence[str],
    pace: float,
    enqueued_token_limit: int | None,
    wanted: tuple[str, ...],
    seed: int,
) -> None:
    """Serve the Files and Batches API until interrupted."""
    # Imported here so that other commands start without the server's libraries.
    from batchspec import simulator as server  # noqa: PLC0415

    lifelike = server.Pace(validating=2, in_progress=6, finalizing=1, cancelling=2)
    try:
        model = server.load_answers(dict(map(_route, answers))) if answers else None
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--answers") from error
    try:
        drawn = server.load_faults(wanted, seed=seed)
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--scenario") from error
    if not _is_loopback(host):
        click.echo(
            f"warning: listening on {host}: everyone who reaches this machine can read and run "
            "batches; there is no authentication",
            err=True,
        )
    app = server.create_app(
        directory,
        model=model,
        pace=lifelike.times(pace),
        enqueued_token_limit=enqueued_token_limit,
        faults=drawn,
    )
    server.serve(app, host=host, port=port, on_listening=_announce)


def _announce(base_url: str) -> None:
    click.echo(
        f"listening on {base_url}; set OPENAI_BASE_URL={base_url} OPENAI_API_KEY=simulated",
        err=True,
    )


def _route(answers: str) -> tuple[str, str]:
    """The pattern of models and the reference."""
    pattern, separator, reference = answers.rpartition("=")
    return (pattern, reference) if separator else ("*", reference)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
