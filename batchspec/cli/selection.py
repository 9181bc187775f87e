"""Which jobs and rows a plan is about: options shared by `plan` and `apply`."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from batchspec.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


def selection_options(function: Function) -> Function:
    """Add `--target`, `--exclude` and so on; `Project.plan` takes what the command gets."""
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
        click.option(
            "--failed",
            is_flag=True,
            help="Go on with what ended without an answer; where that cannot be, pay for it again.",
        ),
        click.option(
            "--allow-empty", is_flag=True, help="Let a job without rows forget its items."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def refuse_wishes(wishes: Mapping[str, Any], why: str) -> None:
    """Refuse these options where they make no sense.

    Raises:
        UsageError: One was given.
    """
    names = {"targets": "--target", "excludes": "--exclude", "output": "-o"}
    given = [f"`{names.get(n, '--' + n.replace('_', '-'))}`" for n, wish in wishes.items() if wish]
    if given:
        raise UsageError(f"{', '.join(given)} cannot be used here: {why}")
