"""`batchspec simulator`: the embedded server as a process of its own, and what goes with it."""

import click

from batchspec.cli.simulator_clock import clock
from batchspec.cli.simulator_faults import faults, scenarios
from batchspec.cli.simulator_serve import serve


@click.group()
def simulator() -> None:
    """Run the embedded server that stands in for a provider."""


for command in (serve, clock, faults, scenarios):
    simulator.add_command(command)
