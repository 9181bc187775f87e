"""Rendering a sample of rows, and the other process of the determinism check.

As a program it takes rows on stdin and gives messages on stdout.
"""

import contextlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from batchspec.desired.render import renderer
from batchspec.fingerprint import canonical_json
from batchspec.ids import JobAddress
from batchspec.load.members import job_at
from batchspec.load.modules import load_modules
from batchspec.spec.job import Job

Rendered = Any
"""Messages of a row, or its input; None where it cannot be rendered, which checking rows tells."""


def render_all(job: Job, rows: Iterable[Any], root: Path) -> list[Rendered]:
    """Return the messages of some rows."""
    render = renderer(job, root=str(root))

    def attempt(row: Any) -> Rendered:
        try:
            # A copy, because a prompt function may change the row it is given.
            data = json.loads(json.dumps(row))
            shown = render(job.row_type.model_validate(data) if job.row_type else data)
            # As it is sent, which is what both processes can tell each other.
            return json.loads(canonical_json(shown))
        except (Exception, SystemExit):  # noqa: BLE001 - a user's function may raise anything
            return None

    return [attempt(row) for row in rows]


def main() -> None:
    """Render the rows of the request with the project's own specs."""
    request = json.load(sys.stdin)
    # What the user's modules print must not end up in the answer.
    with contextlib.redirect_stdout(sys.stderr):
        loaded = load_modules(Path(request["root"]), request["directory"])
        with loaded.imports():
            answers = {
                address: render_all(
                    job_at(loaded.jobs, JobAddress(address)), rows, Path(request["root"])
                )
                for address, rows in request["rows"].items()
            }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
