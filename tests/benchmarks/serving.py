"""How fast the embedded server takes and answers many small lines, and what memory it needs.

Starts the server as a process of its own and drives it with the official SDK: upload, create,
poll, download. No time is asserted; the numbers are printed. Every line must be answered once.

Usage: python tests/benchmarks/serving.py [--lines 1000000] [--batches 20] [--answers echo|schema]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from openai import OpenAI

HERE = Path(__file__).parent
ENDPOINT = "/v1/chat/completions"


@contextmanager
def server(folder: Path, answers: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run the embedded server; yields its base URL and its process."""
    command = [sys.executable, "-m", "batchspec", "simulator", "serve", "--port", "0"]
    command += ["--pace", "0", "--directory", str(folder)]
    if answers == "echo":
        command += ["--answers", f"{HERE / 'echo_model.py'}:answer"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"http://[\d.]+:\d+/v1", line):
                    yield found[0], psutil.Process(process.pid)
                    return
            sys.exit("the server did not start")
        finally:
            process.terminate()


def write_input(path: Path, batch: int, lines: int) -> None:
    """Write an input file whose custom_ids and texts are its own."""
    with path.open("w", encoding="utf-8") as file:
        for n in range(lines):
            messages = [
                {"role": "system", "content": "You route support tickets."},
                {"role": "user", "content": f"Ticket {batch}-{n}: invoice {n} has a wrong amount."},
            ]
            body = {"model": "gpt-5-mini", "messages": messages}
            line = {"custom_id": f"{batch}-{n}", "method": "POST", "url": ENDPOINT, "body": body}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def peak(process: psutil.Process) -> float:
    """Peak memory of a process in MB, as the kernel counts it."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def download(client: OpenAI, file_id: str, batch: int, lines: int) -> None:
    """Read a result file as bytes; every line of the input must be in it once."""
    seen = bytearray(lines)
    tail = b""
    with client.files.with_streaming_response.content(file_id) as response:
        for chunk in response.iter_bytes(2**20):
            *whole, tail = (tail + chunk).split(b"\n")
            for line in whole:
                found = re.search(rb'"custom_id":"(\d+)-(\d+)"', line)
                assert found is not None
                assert int(found[1]) == batch
                seen[int(found[2])] += 1
    assert not tail
    assert seen == b"\1" * lines, f"batch {batch}: some lines are missing or doubled"


def run(lines: int, batches: int, answers: str) -> None:
    """Run once and print what was seen."""
    share = lines // batches
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = [folder / f"in-{n}.jsonl" for n in range(batches)]
        for n, path in enumerate(inputs):
            write_input(path, n, share)
        with server(folder / "server", answers) as (url, process):
            client = OpenAI(base_url=url, api_key="none", max_retries=0)
            started = time.monotonic()
            files = [client.files.create(file=path, purpose="batch") for path in inputs]
            uploaded = time.monotonic()
            jobs = [
                client.batches.create(
                    input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
                )
                for file in files
            ]
            memory: list[float] = []
            for job in jobs:
                while (job_now := client.batches.retrieve(job.id)).status != "completed":
                    assert job_now.status != "failed", job_now.errors
                    time.sleep(0.1)
                memory.append(peak(process))
            answered = time.monotonic()
            for n, job in enumerate(jobs):
                output = client.batches.retrieve(job.id).output_file_id
                assert output
                download(client, output, n, share)
            ended = time.monotonic()
            cpu = sum(process.cpu_times()[:2])
            memory.append(peak(process))
    total = share * batches
    print(f"{total} lines in {batches} batches, {answers} answers; {os.cpu_count()} cores")
    for what, seconds in (
        ("upload", uploaded - started),
        ("validate and answer", answered - uploaded),
        ("download", ended - answered),
        ("all", ended - started),
        ("CPU of the server", cpu),
    ):
        print(f"{what:22}{seconds:8.2f} s{total / seconds:10.0f} lines/s")
    shown = ", ".join(f"{memory[at]:.0f}" for at in (0, len(memory) // 2, -2, -1))
    print(f"peak memory in MB after one batch, half, all, all downloads: {shown}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--answers", choices=("echo", "schema"), default="echo")
    arguments = parser.parse_args()
    run(arguments.lines, arguments.batches, arguments.answers)
