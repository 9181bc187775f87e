"""What telling machines costs: `apply` with OpenTelemetry off, on, and with contents; metrics.

The embedded server runs inside of each `apply`. What it sends is received in this process, which is
not counted. No time is asserted; the numbers are printed.

Usage: python tests/benchmarks/telemetry.py [--rows 50000] [--repeat 3] [--jobs 100]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from batchspec.ids import BatchId, JobAddress, LaneId
from batchspec.messages import Usage
from batchspec.state.events import BatchIntended
from batchspec.state.records import JobProgress
from batchspec.telemetry.metrics import Metrics

SPEC = """
from batchspec import Job, rows
j = Job(
    model="openai:gpt-5-mini",
    rows=rows.iterable(lambda: ({{"id": n}} for n in range({rows}))),
    instructions="You route support tickets.",
    prompt="Ticket {{id}}: where is my order?",
)
"""
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@contextmanager
def receiving() -> Generator[tuple[str, list[int]]]:
    """Take everything; gives the address, and the bytes of each request."""
    taken: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(len(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", taken
    finally:
        server.shutdown()
        server.server_close()


def applied(rows: int, **variables: str) -> tuple[float, float]:
    """Return CPU seconds and peak memory in MB of one apply."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "specs").mkdir()
        (folder / "specs" / "m.py").write_text(SPEC.format(rows=rows))
        (folder / "batchspec.toml").write_text("[simulator]\npace = 0\n")
        command = [sys.executable, "-m", "batchspec", "apply", "--simulate", "--auto-approve"]
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=os.environ | variables, stdout=log, stderr=log
            )
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit((folder / "log.txt").read_text()[-2000:])
        return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def metrics(jobs: int) -> None:
    """Print what an event, a progress and a scrape cost with so many jobs."""
    hook = Metrics()
    event = BatchIntended(id=BatchId("b"), lane=LaneId(1), parts=(), members=1, bytes=1, at=0)
    progress = [
        JobProgress(
            address=JobAddress(f"specs.job_{n}"),
            model="openai:gpt-5-mini",
            items=1000,
            phases={"pending": 100, "final": 900},
            outcomes={"succeeded": 900},
            turns=900,
            usage=Usage(1000, 0, 1000),
        )
        for n in range(jobs)
    ]

    def timed(times: int, call: object) -> float:
        began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        for _ in range(times):
            call()  # type: ignore[operator]
        return (resource.getrusage(resource.RUSAGE_SELF).ru_utime - began) / times

    event_cost = timed(20_000, lambda: hook.event(event))
    progress_cost = timed(50, lambda: hook.progress(progress, []))
    scrape = timed(50, lambda: hook.render(time.time()))
    size = len(hook.render(time.time())[0])
    told = {
        "jobs": jobs,
        "event_us": round(event_cost * 1e6, 1),
        "progress_ms": round(progress_cost * 1e3, 2),
        "scrape_ms": round(scrape * 1e3, 1),
        "scrape_kb": round(size / 1e3),
    }
    print(json.dumps(told))


def main() -> None:
    """Print a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=100)
    given = parser.parse_args()
    metrics(given.jobs)
    with receiving() as (url, taken):
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        settings = {"off": {}, "on": on, "contents": on | {CONTENT: "span_only"}}
        for name, variables in settings.items():
            taken.clear()
            runs = [applied(given.rows, **variables) for _ in range(given.repeat)]
            told = {
                "otel": name,
                "rows": given.rows,
                "cpu_s": round(min(cpu for cpu, _ in runs), 2),
                "cpu_s_each": [round(cpu, 2) for cpu, _ in runs],
                "peak_mb": round(max(peak for _, peak in runs)),
                "sent_kb": round(sum(taken) / len(runs) / 1e3),
                "requests": round(len(taken) / len(runs)),
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
