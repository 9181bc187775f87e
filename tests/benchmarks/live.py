"""How much the local engine adds to a live endpoint that answers at once.

Usage: python tests/benchmarks/live.py [--lines 20000] [--concurrency 64] [--profile FILE]

Prints lines per second of bare requests with the same HTTP client, and of a batch in the embedded
server, both against an endpoint in another process; and how much memory the batch took.
"""

import argparse
import cProfile
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from upstream import UpstreamProcess  # noqa: E402

from batchspec.simulator import AppTransport, Pace, Upstream, create_app  # noqa: E402

BODY = {"model": "m", "messages": [{"role": "user", "content": "Is it so?"}]}
PATH = "/v1/chat/completions"


async def bare(url: str, lines: int, concurrency: int) -> tuple[float, float]:
    """Return the rates of a client that does nothing with the answers."""
    content = json.dumps(BODY).encode()
    left = iter(range(lines))

    async def work() -> None:
        async with httpx2.AsyncClient(verify=False, trust_env=False) as client:
            for _ in left:
                answer = await client.post(f"{url}/chat/completions", content=content)
                answer.raise_for_status()

    started = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as group:
        for _ in range(concurrency):
            group.start_soon(work)
    return _rates(lines, started)


def _rates(lines: int, started: tuple[float, float]) -> tuple[float, float]:
    """Return lines per second, and per second of the processor: others may be using it too."""
    real, processor = started
    return lines / (time.perf_counter() - real), lines / (time.process_time() - processor)


async def engine(
    url: str, lines: int, concurrency: int, folder: Path
) -> tuple[tuple[float, float], float]:
    """Return the rates of a batch, from its creation to its files, and MiB it took."""
    source = Upstream(url, concurrency=concurrency)
    app = create_app(folder, source=source, pace=Pace().times(0))
    transport = AppTransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://simulator/v1") as client:
        client.headers["authorization"] = "Bearer simulated"
        rest = {"method": "POST", "url": PATH, "body": BODY}
        text = "\n".join(json.dumps({"custom_id": f"r{n}", **rest}) for n in range(lines))
        form = {"files": {"file": ("in.jsonl", text.encode())}, "data": {"purpose": "batch"}}
        file = await _json(client, "POST", "/files", **form)
        before = psutil.Process().memory_info().rss
        started = time.perf_counter(), time.process_time()
        wanted = {"input_file_id": file["id"], "endpoint": PATH, "completion_window": "24h"}
        batch = await _json(client, "POST", "/batches", json=wanted)
        most = before
        while batch["status"] != "completed":
            await anyio.sleep(0.1)
            batch = await _json(client, "GET", f"/batches/{batch['id']}")
            most = max(most, psutil.Process().memory_info().rss)
        rates = _rates(lines, started)
    await anyio.to_thread.run_sync(app.state.engine.close)
    assert batch["request_counts"]["completed"] == lines, batch
    return rates, (most - before) / 2**20


async def _json(client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> Any:
    answer = await client.request(method, path, **more)
    answer.raise_for_status()
    return answer.json()


def profiled(path: str) -> None:
    """Profile the thread that asks; statistics are written when it ends."""
    original = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        if thread.name != "upstream":
            original(thread)
            return
        profile = cProfile.Profile()
        profile.runcall(original, thread)
        profile.dump_stats(path)

    threading.Thread.run = run  # type: ignore[method-assign]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--profile")
    options = parser.parse_args()
    if options.profile:
        profiled(options.profile)
    server = UpstreamProcess(instant=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            lines, concurrency = options.lines, options.concurrency
            floor = anyio.run(bare, server.base_url, lines, concurrency)
            speed, memory = anyio.run(engine, server.base_url, lines, concurrency, Path(folder))
    finally:
        server.kill()
    print(f"{lines:,} lines, {concurrency} at a time")
    for name, (real, processor) in (("bare requests", floor), ("local engine", speed)):
        print(f"{name:16} {real:8,.0f} lines/s, {processor:8,.0f} per second of the processor")
    print(f"memory           {memory:8,.0f} MiB more")


if __name__ == "__main__":
    main()
