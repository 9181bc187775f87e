"""A job whose rows grow under a watcher: what planning it again costs, each time.

Applies a job of many rows in the embedded server, then lets its data grow, looks at the files as
the watcher does, and plans again as the engine does. No time is asserted; the numbers are printed.

Usage: python tests/benchmarks/growing.py [--rows 100000] [--more 100] [--hours 3] [--kind jsonl]
"""

import argparse
import json
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time

from batchspec.project import Project
from batchspec.watch.files import Files
from batchspec.watch.sources import watched

SOURCES = {"jsonl": "rows.jsonl('data/rows.jsonl')", "files": "rows.files('data/**/*.txt')"}
PROMPTS = {"jsonl": "Ticket {id}: {text}", "files": "Ticket {name}: {text}"}
TEXT = (
    "The invoice is wrong and the portal shows another amount, since the last time I looked at it."
)


def grow(root: Path, kind: str, numbers: range) -> None:
    """Add rows to the data: lines of one file, or a folder of files for each thousand."""
    data = root / "data"
    data.mkdir(exist_ok=True)
    if kind == "jsonl":
        with (data / "rows.jsonl").open("a") as file:
            file.writelines(json.dumps({"id": str(n), "text": TEXT}) + "\n" for n in numbers)
        return
    for n in numbers:
        folder = data / str(n // 1000)
        folder.mkdir(exist_ok=True)
        (folder / f"{n}.txt").write_text(f"{n}: {TEXT}")


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print the CPU seconds of a block, and the peak memory of the process so far."""
    began = process_time()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<28} {process_time() - began:8.2f} s CPU {peak:8.0f} MB peak", flush=True)


def run(root: Path, kind: str, rows: int, more: int, hours: int) -> None:
    """Measure one job."""
    (root / "specs").mkdir()
    (root / "specs" / "m.py").write_text(
        "from batchspec import Job, rows\n"
        f"j = Job(model='openai:gpt-5-mini', rows={SOURCES[kind]}, prompt={PROMPTS[kind]!r})\n"
    )
    grow(root, kind, range(rows))
    with Project(root, simulate=True) as project:
        project.pin()
        files = Files(watched(project, project.desired))
        with measured("first look at the files"):
            files.look()
        with measured("first plan"):
            plan = project.plan(refresh=False)
        with measured("apply, with the server"):
            project.apply(plan)
        with measured("look, nothing changed"):
            files.look()
        with measured("plan, nothing changed"):
            project.plan(refresh=False)
        for hour in range(hours):
            grow(root, kind, range(rows + hour * more, rows + (hour + 1) * more))
            with measured(f"hour {hour + 1}: look"):
                files.look()
            with measured(f"hour {hour + 1}: plan"):
                plan = project.plan(refresh=False)
            with measured(f"hour {hour + 1}: apply {plan.requests} rows"):
                project.apply(plan)


def main() -> None:
    """Parse what is asked for and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--more", type=int, default=100, help="new rows each hour")
    parser.add_argument("--hours", type=int, default=3)
    parser.add_argument("--kind", choices=sorted(SOURCES), default="jsonl")
    given = parser.parse_args()
    os.environ.setdefault("BATCHSPEC_SIMULATOR__SPEED", "3000")
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), given.kind, given.rows, given.more, given.hours)


if __name__ == "__main__":
    main()
