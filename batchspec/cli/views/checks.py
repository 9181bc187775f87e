"""The views of `validate` and `render`."""

from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from rich.text import Text

from batchspec.cli.views.failures import show_diagnostics
from batchspec.cli.views.streams import print_prose, print_table, stderr, stdout, write_bytes
from batchspec.cli.views.words import clean, columns, counted

if TYPE_CHECKING:
    from batchspec.project.values import Rendered, Validation


def show_validation(validation: "Validation") -> None:
    """Print the jobs that were found, and every problem."""
    if validation.jobs:
        rows: list[list[Text | str]] = [
            [
                Text(clean(job.address), "bold"),
                clean(job.model),
                counted(job.rows, "row") if job.rows else "no rows yet",
                Text(clean(str(job.source)), "dim"),
            ]
            for job in validation.jobs
        ]
        print_table(stdout(), columns(rows, right=(2,)))
    if validation.diagnostics:
        print_prose(stderr(), [Text()] if validation.jobs else [])
        show_diagnostics(validation.diagnostics)
    if validation.ok:
        print_prose(stdout(), [Text(), _success(validation)])


def _success(validation: "Validation") -> Text:
    rows = sum(job.rows for job in validation.jobs)
    what = f"{counted(len(validation.jobs), 'job')}, {counted(rows, 'row')}"
    return Text.assemble(("Valid: ", "bold green"), f"{what}; nothing was sent.")


def show_request(rendered: "Rendered") -> None:
    """Print a request as JSON on stdout; what identifies it goes to stderr."""
    request: dict[str, Any] = rendered.request
    print_prose(
        stderr(),
        [Text(f"{clean(rendered.address)}, fingerprint {rendered.fingerprint}", "dim")],
    )
    write_bytes(to_json(request, indent=2) + b"\n")
