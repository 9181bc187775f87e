"""How long an eager job takes to look at what is new, batch after batch.

    PYTHONPATH=tests .venv/bin/python tests/benchmarks/eager.py [ROWS] [BATCHES]

The batches of the job above end one after the other, in a process with its embedded server and a
clock that jumps. Of each look the CPU seconds are told: they have to depend on what is new, not on
what there is.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from worlds import World

from batchspec.config import Limits
from batchspec.project.expanding import Expanding
from batchspec.state.stored import Fresh

SPEC = """
DATA = [{{"id": f"row-{{n:07}}"}} for n in range({rows})]
up = Job(model="openai:gpt-5-mini", rows=rows.inline(DATA), prompt="say {{id}}")
down = Job(model="openai:gpt-5-nano", rows=rows.outputs_of(up, eager=True), prompt="sum {{output}}")
"""


class Timed(Expanding):
    """Notes how long each look takes."""

    looks: list[tuple[bool, float]] = []  # noqa: RUF012 - one run a process

    def __call__(self, address: Any, fresh: Fresh | None) -> int | None:
        began = time.thread_time()
        try:
            return super().__call__(address, fresh)
        finally:
            self.looks.append((fresh is None, time.thread_time() - began))


def main(rows: int, batches: int) -> None:
    """Apply once, and print the times."""
    folder = Path(tempfile.mkdtemp(prefix="eager-"))
    world = World(folder)
    openai = world.settings.providers["openai"]
    changed = openai.model_copy(update={"limits": Limits(max_requests=-(-rows // batches))})
    world.settings = world.settings.model_copy(update={"providers": {"openai": changed}})
    for nth in range(2, batches + 1):
        world.faults.add("long_validating", nth=nth, seconds=1_000.0 * nth)
    world.spec(SPEC.format(rows=rows))
    from batchspec.project import applying  # noqa: PLC0415 - its name is replaced

    applying.Expanding = Timed  # type: ignore[misc]
    began = time.perf_counter()
    result = super(World, world).apply(hook=world.hook, refresh=False).result
    print(
        f"{rows:,} rows in {batches} batches: {time.perf_counter() - began:.1f} s, {result.done=}"
    )
    for whole, seconds in Timed.looks:
        print(f"  {'last look at all' if whole else 'look at what is new'}: {seconds:.2f} CPU s")
    world.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(*(int(n) for n in (*sys.argv[1:], *("20000", "20")[len(sys.argv) - 1 :])))
