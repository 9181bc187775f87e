"""Which jobs and rows a plan is about: options shared by `plan` and `apply`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def selection_options(function: Function) -> Function:
    """Add `--target`, `--exclude` and `--replace`; the command gets `targets` and so on."""
    options = (
        click.option(
            "--target",
            "targets",
            metavar="ADDRESS",
            multiple=True,
            help="Only this job or item, and what it needs; may be repeated.",
        ),
        click.option(
            "--exclude",
            "excludes",
            metavar="ADDRESS",
            multiple=True,
            help="All but this job or item, and what needs it; may be repeated.",
        ),
        click.option(
            "--replace",
            "replace",
            metavar="ADDRESS",
            multiple=True,
            help="Send this job or item again, and pay for it again; may be repeated.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
