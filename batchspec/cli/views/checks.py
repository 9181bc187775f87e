"""The views of `validate` and `render`."""

from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from rich.text import Text

from batchspec.cli.views.failures import show_diagnostics
from batchspec.cli.views.streams import print_prose, print_table, stderr, stdout, write_bytes
from batchspec.cli.views.words import clean, columns, counted
from batchspec.spec.parts import abbreviated

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


def show_request(rendered: "Rendered", *, whole: bool = False) -> None:
    """Print a request as JSON on stdout; what identifies it goes to stderr.

    Args:
        rendered: The request.
        whole: Print the data of images and documents too.
    """
    request: dict[str, Any] = rendered.request
    seen = request if whole else abbreviated(request)
    said = [f"{clean(rendered.address)}, fingerprint {rendered.fingerprint}"]
    if seen != request:
        said.append("The data of its files is left out; --json prints it too.")
    print_prose(stderr(), [Text(line, "dim") for line in said])
    write_bytes(to_json(seen, indent=2) + b"\n")
