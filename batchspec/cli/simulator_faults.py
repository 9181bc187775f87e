"""`batchspec simulator faults` and `scenarios`: what can go wrong on purpose."""

import click

from batchspec.cli.views.faults import show_faults, show_scenarios


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def faults(*, name: str | None, as_json: bool) -> None:
    """List the faults the server can be told to have, or the options of one."""
    from batchspec.simulator.faults.catalogue import catalogue  # noqa: PLC0415  starts quickly

    try:
        show_faults(catalogue(name), as_json=as_json)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def scenarios(*, as_json: bool) -> None:
    """List the scenarios that come with batchspec, for `serve --scenario`."""
    from batchspec.simulator.faults.scenario import shipped  # noqa: PLC0415  starts quickly

    show_scenarios(shipped(), as_json=as_json)
