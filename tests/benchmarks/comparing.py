"""`compare` and `results` of many items that a judge graded: CPU and memory of the client.

Two variants of a job are answered by the embedded server, and then their judge, in a state of its
own. The keys of rows are in no order, as ids are. No time is asserted; figures are printed.

Usage: python tests/benchmarks/comparing.py [--rows 50000] [--keep FOLDER]
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

from scale import CONFIG, Used, run, server

SPEC = '''"""Two prompts, and a judge of their answers."""

from batchspec import Job, rows

judge = Job(
    model="openai:gpt-5-mini",
    instructions="Is the answer right?",
    prompt="{row[text]} {output}",
    output=bool,
)
route = Job(
    model="openai:gpt-5-mini",
    rows=rows.jsonl("rows.jsonl", key="id"),
    instructions="You route support tickets.",
    prompt="Ticket {id}: {text}",
    variants={"plain": {}, "terse": {"instructions": "One word."}},
    grade=judge,
)
'''


def build(folder: Path, rows: int) -> None:
    """Make a project and answer it."""
    (folder / "specs").mkdir(parents=True)
    (folder / "specs" / "tickets.py").write_text(SPEC)
    (folder / "batchspec.toml").write_text(CONFIG)
    with (folder / "rows.jsonl").open("w") as file:
        for n in range(rows):
            key = sha256(str(n).encode()).hexdigest()[:16]
            text = f"My invoice {n} shows an amount I do not know."
            file.write(json.dumps({"id": key, "text": text}) + "\n")
    with server(folder / "server") as url:
        environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
        command = [sys.executable, "-m", "batchspec", "apply", "--auto-approve"]
        show("apply", run(command, folder, environment))


def show(name: str, used: Used) -> None:
    """Print what a command used."""
    print(f"{name:24}{used.cpu:9.2f}{used.peak:9.0f}{used.wall:9.2f}", flush=True)


def measure(folder: Path) -> None:
    """Run what reads all answers."""
    commands = (
        ("compare", "tickets.route", "--json"),
        ("compare", "tickets.judge", "--json"),
        ("results", "tickets.route", "--format", "jsonl", "-o", "results.jsonl"),
        ("results", "tickets.judge", "--format", "jsonl", "-o", "results.jsonl"),
    )
    environment = {**os.environ, "OPENAI_API_KEY": "none"}
    for command in commands:
        used = run([sys.executable, "-m", "batchspec", *command], folder, environment)
        show(" ".join(command[:2]), used)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--keep", type=Path, help="Build the state here, or read the one it has.")
    arguments = parser.parse_args()
    kept = arguments.keep and nullcontext(str(arguments.keep.resolve()))
    with kept or tempfile.TemporaryDirectory() as name:
        print(
            f"{2 * arguments.rows} items; {os.cpu_count()} cores, Python {sys.version.split()[0]}"
        )
        print(f"{'':24}{'CPU s':>9}{'peak MB':>9}{'wall s':>9}")
        if not (Path(name) / "state").exists():
            build(Path(name), arguments.rows)
        measure(Path(name))
