"""`batchspec validate`."""

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.checks import show_validation
from batchspec.errors import ExitCode


@click.command()
@scope_options
@click.pass_obj
def validate(scope: Scope) -> ExitCode:
    """Check specs, rows, schemas and templates.

    Asks no provider and changes no state. Every problem is told at once.
    """
    with scope.open() as project:
        validation = project.validate()
    show_validation(validation)
    return ExitCode.DONE if validation.ok else ExitCode.ERROR
