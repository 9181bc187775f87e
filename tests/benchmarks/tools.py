"""How long many tool calls take that wait: set by how many run at once, not by their sum.

Applies a job against the embedded server, each row with one call that waits 50 ms, and says how
long it took from the first call's begin to the last one's end, beside what the waiting alone takes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SPEC = """
import atexit, json, pathlib, time
import anyio
from batchspec import Job, rows, tool
ROOT = pathlib.Path(__file__).parent.parent
began, ended = [], []

@tool
{define}

def tell():
    if began:
        times = {{"began": min(began), "ended": max(ended), "calls": len(ended)}}
        (ROOT / "times.json").write_text(json.dumps(times))

atexit.register(tell)
j = Job(
    model="openai:gpt-5-mini",
    rows=rows.iterable(lambda: ({{"id": n}} for n in range({calls}))),
    prompt="{{id}}",
    tools=[wait],
)
"""
KINDS = {
    "sync": "def wait() -> int:\n    began.append(time.monotonic())\n    time.sleep({seconds})\n"
    "    ended.append(time.monotonic())\n    return 1",
    "async": "async def wait() -> int:\n    began.append(time.monotonic())\n"
    "    await anyio.sleep({seconds})\n    ended.append(time.monotonic())\n    return 1",
}
ANSWERS = """
def answer(body):
    if body["messages"][-1]["role"] == "tool":
        return "fine"
    return {"role": "assistant", "tool_calls": [{"name": "wait", "arguments": {}}]}
"""


def measure(calls: int, concurrency: int, kind: str, seconds: float) -> dict[str, float]:
    """Return seconds of wall time and of the processor for one apply."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "specs").mkdir()
        define = KINDS[kind].format(seconds=seconds)
        (folder / "specs" / "m.py").write_text(SPEC.format(define=define, calls=calls))
        (folder / "answers.py").write_text(ANSWERS)
        (folder / "batchspec.toml").write_text(
            f"tool_concurrency = {concurrency}\n"
            '[simulator]\npace = 0\nanswers = "answers.py:answer"\n'
        )
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "batchspec", "apply", "--simulate", "--auto-approve"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times = json.loads((folder / "times.json").read_text())
        assert times["calls"] == calls
        return {
            "wall": times["ended"] - times["began"],
            "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{given.calls:_} calls of {given.seconds} s, load {load:.1f}, Python {sys.version[:6]}")
    print(f"sum of the waiting: {given.calls * given.seconds:.0f} s")
    print(f"{'kind':8}{'at once':>8}{'waiting s':>12}{'measured s':>12}{'ratio':>8}{'CPU s':>8}")
    for kind in given.kinds:
        for concurrency in given.concurrency:
            found = measure(given.calls, concurrency, kind, given.seconds)
            least = given.calls * given.seconds / concurrency
            ratio = found["wall"] / least
            print(
                f"{kind:8}{concurrency:8}{least:12.1f}{found['wall']:12.1f}{ratio:8.2f}"
                f"{found['cpu']:8.1f}"
            )


if __name__ == "__main__":
    main()
