"""`batchspec version`."""

import click

from batchspec.cli.views.versions import show_versions


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def version(*, as_json: bool) -> None:
    """Print the versions of batchspec and Python."""
    show_versions(as_json=as_json)
