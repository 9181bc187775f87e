"""Whole result files through the real path: nothing raises, is lost or is mixed up."""

import math
import re
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from worlds import Fault, World

from batchspec.errors import ExitCode
from batchspec.providers.openai.client import OpenAIClient
from fuzz.amount import FILES, SEED, Patience
from fuzz.corpus import FINAL, KINDS, SPEC
from fuzz.mill import Certain, Mill
from fuzz.mutations import mutated

MEMBERS = 8
ROWS = 400
"""Of each job of a world."""


class GroundWorld(World):
    """A world whose provider is a mill."""

    def __init__(self, root: Path, seed: int) -> None:
        super().__init__(root)
        self.mill = Mill(seed)
        small(self)
        self.spec(SPEC.format(rows=ROWS))

    def client(self) -> OpenAIClient:
        return self.mill


def small(world: World) -> None:
    """Let batches have few members, so that there are many."""
    openai = world.settings.providers["openai"]
    limits = openai.limits.model_copy(update={"max_requests": MEMBERS})
    providers = {"openai": openai.model_copy(update={"limits": limits})}
    fast = {"providers": providers, "poll_interval": 0.01}
    world.settings = world.settings.model_copy(update=fast)


def recorded(world: World) -> list[dict[str, Any]]:
    """Return every item: the start of its custom_ids, how it ended, what it says, what it cost."""
    texts = {
        (address, key): item.text
        for address in ("m.text", "m.typed", "m.tooled")
        for key, item in world.items(address).items()
    }
    with sqlite3.connect(world.state / "batchspec.db") as db:
        db.row_factory = sqlite3.Row
        rows = db.execute(
            "SELECT c.*, lower(hex(substr(fingerprint, 1, 8))) AS name, j.address, i.key "
            "FROM items i JOIN conversations c ON c.id = i.conversation JOIN jobs j ON j.id = i.job"
        )
        return [{**row, "text": texts[row["address"], row["key"]]} for row in map(dict, rows)]


def check_item(row: dict[str, Any], certain: dict[str, Certain], claims: set[str]) -> None:
    """See that an item became what its lines say, whatever else stood in the files."""
    assert row["phase"] == "final"
    tokens = [row[f"{name}_tokens"] for name in ("input", "cached", "output", "reasoning")]
    assert all(type(n) is int and 0 <= n < 2**63 for n in tokens)
    assert math.isfinite(row["cost"])
    assert row["cost"] >= 0
    ended = certain.get(f"{row['name']}-{row['turn']}")
    if ended and ended.outcome:
        assert row["outcome"] == ended.outcome, ended
        assert ended.outcome != "succeeded" or ended.said in row["text"], ended
    for marker in re.findall(r"<[^<>]*>", row["text"] or ""):
        assert any(marker in claim for claim in claims), "the answer of somebody else"


def check_answers(world: GroundWorld) -> Counter[str]:
    """Check every item; returns how many ended in which way."""
    certain: dict[str, Certain] = {}
    claims: dict[str, set[str]] = {}
    for grist in world.mill.batches.values():
        certain.update(grist.certain)
        for custom_id, found in grist.claimed.items():
            claims.setdefault(custom_id.partition("-")[0], set()).update(found)
    rows = recorded(world)
    assert len(rows) == 3 * ROWS
    for row in rows:
        try:
            check_item(row, certain, claims.get(row["name"], set()))
        except AssertionError as error:
            error.add_note(f"{row}")
            raise
    return Counter(row["outcome"] for row in rows)


def test_failures_08_09_10_11_31_35_ten_thousand_mutated_files(
    tmp_path: Path, told: list[str]
) -> None:
    """Every file is downloaded, read and settled as always; every member ends."""
    files, seed, outcomes, certain = 0, SEED, Counter[str](), 0
    patience = Patience(0.3)
    while files < FILES or patience:
        with GroundWorld(tmp_path / str(seed), seed) as world:
            try:
                result = world.apply()
                assert result.exit_code in {ExitCode.DONE, ExitCode.FAILED_ITEMS}
                outcomes += check_answers(world)
                world.apply()  # what was cancelled or expired goes again, once per apply
                check_answers(world)
            except BaseException as error:
                error.add_note(f"Again: BATCHSPEC_FUZZ_FILES=1 make fuzz SEED={seed} MINUTES=0")
                raise
            files += world.mill.files
            certain += sum(len(g.certain) for g in world.mill.batches.values())
        shutil.rmtree(tmp_path / str(seed))
        seed += 1
    told.append(
        f"reply files, seeds {SEED} to {seed - 1}: {files} files, {certain} untouched lines"
    )
    told.append(f"  items ended as {dict(outcomes)}")
    if files > 1000:
        assert set(outcomes) >= {*FINAL.values(), "exhausted"}, "the mutations have grown dull"
        assert certain > files / 2


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_come_through_the_official_client_too(tmp_path: Path, seed: int) -> None:
    """The bytes of the embedded server, over HTTP, after an accident on their way."""
    random = Random(seed)

    def accident(body: bytes) -> bytes:
        lines = [line for line in body.split(b"\n") if line]
        return random.choice(mutated(random, lines, lines))

    with World(tmp_path) as world:
        small(world)
        kinds = list(KINDS.values())
        world.model = lambda body: random.choice(kinds)(body["messages"][0]["content"].split()[0])
        world.wire.faults.append(Fault("GET", "/files/.*/content", rewrite=accident, times=None))
        world.spec(SPEC.format(rows=24))
        assert world.apply().exit_code in {ExitCode.DONE, ExitCode.FAILED_ITEMS}
        for address in ("m.text", "m.typed", "m.tooled"):
            assert all(world.outcomes(address).values())
