"""Whatever a person writes into a spec is applied, or told; nothing else comes out of it."""

import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from worlds import World

from batchspec.errors import BatchspecError
from fuzz.amount import SEED, Patience
from fuzz.oddities import answers, spec

CASES = 30
"""Of a round; `make fuzz` goes on for its share of the minutes."""
TABLE = b"id,b\na,1\nb,2,3\n"
LINES = b'{"id": "a"}\n{"id": NaN}\n[]\n'


def attempt(root: Path, random: Random) -> str:
    """Check, apply and read one odd spec; its state is sound after each apply."""
    text, checked, model = spec(random), random.random() < 0.1, answers(random)
    root.mkdir()
    (root / "odd.bin").write_bytes(bytes(range(256)))
    (root / "a.csv").write_bytes(TABLE)
    (root / "a.jsonl").write_bytes(LINES)
    world = World(root, model=model)
    try:
        world.spec(text)
        return _applied(world, checked=checked)
    except BaseException as error:
        error.add_note(text.splitlines()[-1][:2000])
        raise
    finally:
        world.close()
        shutil.rmtree(root)


def _applied(world: World, *, checked: bool) -> str:
    if checked:  # seldom: it starts a process to render prompts again
        with world.open() as project:
            assert all(str(problem) for problem in project.validate().diagnostics)
    try:
        world.apply()
    except BatchspecError:
        return "told"
    with world.open() as project:
        addresses = project.desired.addresses
    for address in addresses:
        with suppress(BatchspecError):  # it may have no rows
            world.items(address)
    with suppress(BatchspecError):  # a prompt may be another one each time
        world.apply()
    return "applied"


def test_whatever_is_written_is_applied_or_told(tmp_path: Path, told: list[str]) -> None:
    patience, seen = Patience(0.3), {"told": 0, "applied": 0}
    for number in count(SEED):

        @seed(number)
        @settings(max_examples=CASES, database=None, suppress_health_check=list(HealthCheck))
        @given(st.randoms(use_true_random=False))
        def one(random: Random) -> None:
            seen[attempt(tmp_path / "project", random)] += 1

        one()
        if not patience:
            break
    told.append(f"odd specs, from seed {SEED}: {seen}")
    # Both must be met, or the oddities have grown dull.
    assert all(seen.values())
