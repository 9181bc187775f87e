"""Many small rows through plan, apply and results, beside the floor: CPU and memory of the client.

Starts the embedded server as a process of its own, then runs the client's commands as processes and
asks the operating system what each used. No time is asserted; the numbers are printed.

Usage: python tests/benchmarks/scale.py [--rows 100000] [--repeat 3]
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SPEC = '''"""Routes tickets; the text of the answer is kept."""

from batchspec import Job, rows

route = Job(
    model="openai:gpt-5-mini",
    rows=rows.jsonl("rows.jsonl", key="id"),
    instructions="You route support tickets.",
    prompt="Ticket {id}: {text}",
)
'''
CONFIG = "poll_interval = 0.5\nmax_poll_interval = 1.0\n"


@dataclass(frozen=True)
class Used:
    """What a process used: CPU seconds, peak memory in MB, wall seconds."""

    cpu: float
    peak: float
    wall: float


def run(command: Sequence[str], cwd: Path, environment: dict[str, str]) -> Used:
    """Run a command to its end and ask the kernel what it used."""
    started = time.monotonic()
    with (cwd / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(
            f"{command} ended with {process.returncode}:\n{(cwd / 'log.txt').read_text()[-2000:]}"
        )
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, time.monotonic() - started)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run the embedded server; yields its base URL."""
    command = [sys.executable, "-m", "batchspec", "simulator", "serve", "--port", "0"]
    command += [
        "--pace",
        "0",
        "--directory",
        str(folder),
        "--answers",
        str(HERE / "echo_model.py") + ":answer",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"http://[\d.]+:\d+/v1", line):
                    yield found[0]
                    return
            sys.exit("the server did not start")
        finally:
            process.terminate()


def write_rows(path: Path, rows: int) -> None:
    """Write small rows, each with a text of its own."""
    with path.open("w", encoding="utf-8") as file:
        for n in range(rows):
            row = {
                "id": f"row-{n}",
                "text": f"My invoice {n} shows an amount I do not know.",
                "n": n,
            }
            file.write(json.dumps(row) + "\n")


def measure(rows: int, *, split: bool) -> dict[str, Used]:
    """Run the floor and batchspec once each, with a fresh server and state."""
    found: dict[str, Used] = {}
    python = sys.executable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", rows)
        (folder / "specs").mkdir()
        (folder / "specs" / "tickets.py").write_text(SPEC)
        (folder / "batchspec.toml").write_text(CONFIG)
        with server(folder / "server") as url:
            environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
            # Modules are compiled once and kept, as on any machine where both are installed.
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            floor = [python, str(HERE / "floor.py"), "rows.jsonl", "floor.jsonl"]
            found["floor"] = run(floor, folder, environment)
            ours = [python, "-m", "batchspec"]
            if split:
                found["plan"] = run([*ours, "plan"], folder, environment)
            found["apply"] = run([*ours, "apply", "--auto-approve"], folder, environment)
            results = ["results", "tickets.route", "--format", "jsonl", "-o", "results.jsonl"]
            found["results"] = run([*ours, *results], folder, environment)
            check(folder, rows)
    return found


def check(folder: Path, rows: int) -> None:
    """Both ways must have the same answers."""
    with (folder / "floor.jsonl").open() as floor, (folder / "results.jsonl").open() as ours:
        n = 0
        for left, right in zip(floor, ours, strict=True):
            a, b = json.loads(left), json.loads(right)
            if (a["key"], a["output"]) != (b["key"], b["output"]):
                sys.exit(f"answers differ: {a} {b}")
            n += 1
    if n != rows:
        sys.exit(f"{n} answers for {rows} rows")


def report(runs: Sequence[dict[str, Used]], rows: int) -> None:
    """Print medians and the ratio."""
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"
    print(f"{rows} rows, {len(runs)} runs, medians; {machine}")
    print(f"{'':10}{'CPU s':>9}{'peak MB':>9}{'wall s':>9}")
    for name in runs[0]:
        cpu, peak, wall = (
            statistics.median(getattr(run[name], what) for run in runs)
            for what in ("cpu", "peak", "wall")
        )
        print(f"{name:10}{cpu:9.2f}{peak:9.0f}{wall:9.2f}")
    ratios = [sum(u.cpu for n, u in run.items() if n != "floor") / run["floor"].cpu for run in runs]
    print(
        f"client CPU, {' + '.join(n for n in runs[0] if n != 'floor')} over floor: "
        f"{statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    measure(10, split=True)  # warms up the caches of the interpreter and the disk
    report([measure(arguments.rows, split=True) for _ in range(arguments.repeat)], arguments.rows)
