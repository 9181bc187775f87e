"""Whatever is wanted, goes wrong and dies: once it is quiet, what is wanted comes about."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from fuzz.amount import MINUTES, SEED, Patience
from fuzz.desires import KINDS
from fuzz.stroll import PARTS, stroll
from fuzz.troubles import MONEY, TROUBLES
from fuzz.walk import Walk

# A process that is dead does not close its files; one that only plays dead leaves it to chance.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STROLLS = 25
ROOT = Path(__file__).parents[2]
JOB = st.integers(0, 4)
KEY = st.integers(0, 5)
KIND = st.integers(0, len(KINDS) - 1)
TARGET = st.none() | st.none() | JOB


class Convergence(RuleBasedStateMachine):
    """Steps of a walk in any order; at the end it becomes quiet."""

    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk()
        self.failed = False

    def do(self, name: str, *args: Any, **options: Any) -> None:
        try:
            getattr(self.walk, name)(*args, **options)
        except BaseException:
            self.failed = True
            raise

    @initialize(kind=KIND, rows=st.integers(1, 4), lags=st.booleans())
    def begin(self, kind: int, rows: int, lags: bool) -> None:
        self.do("add", kind, rows)
        if lags:
            self.do("lag")

    @rule(kind=KIND, rows=st.integers(1, 3))
    def add(self, kind: int, rows: int) -> None:
        self.do("add", kind, rows)

    @rule(job=JOB, part=st.sampled_from(PARTS), version=st.integers(0, 1))
    def edit(self, job: int, part: str, version: int) -> None:
        self.do("edit", job, part, version)

    @rule(job=JOB, part=st.sampled_from(["enabled", "protect"]), value=st.booleans())
    def switch(self, job: int, part: str, value: bool) -> None:
        self.do("edit", job, part, value)

    @rule(job=JOB, dollars=st.sampled_from([0.001, 9.0]))
    def budget(self, job: int, dollars: float) -> None:
        self.do("edit", job, "max_cost", dollars)

    @rule(job=JOB)
    def rename(self, job: int) -> None:
        self.do("rename", job)

    @rule(job=JOB, module=st.sampled_from("mn"))
    def move(self, job: int, module: str) -> None:
        self.do("move", job, module)

    @rule(job=JOB)
    def remove(self, job: int) -> None:
        self.do("remove", job)

    @rule(job=JOB, key=KEY, value=KEY)
    def put_row(self, job: int, key: int, value: int) -> None:
        self.do("put_row", job, key, value)

    @rule(job=JOB, key=KEY)
    def drop_row(self, job: int, key: int) -> None:
        self.do("drop_row", job, key)

    @rule(job=JOB, key=KEY)
    def rename_key(self, job: int, key: int) -> None:
        self.do("rename_key", job, key)

    @rule(job=JOB)
    def reverse_rows(self, job: int) -> None:
        self.do("reverse_rows", job)

    @rule(number=st.integers(0, len(TROUBLES) - 1), times=st.integers(1, 2))
    def trouble(self, number: int, times: int) -> None:
        self.do("trouble", number, times)

    @rule(number=st.sampled_from(MONEY))
    def lose_the_answer_to_a_create(self, number: int) -> None:
        self.do("trouble", number)

    @rule()
    def cancel_there(self) -> None:
        self.do("cancel_there")

    @rule(seconds=st.sampled_from([1, 30, 300, 90_000]))
    def wait(self, seconds: int) -> None:
        self.do("wait", seconds)

    @rule(outputs=st.booleans())
    def delete_files_there(self, outputs: bool) -> None:
        self.do("delete_files_there", outputs)

    @rule(dies=st.none() | st.integers(1, 8))
    def refresh(self, dies: int | None) -> None:
        self.do("refresh", dies)

    @rule(job=JOB, detach=st.booleans(), dies=st.none() | st.integers(1, 15))
    def cancel(self, job: int, detach: bool, dies: int | None) -> None:
        self.do("cancel", job, detach=detach, dies=dies)

    @rule(dies=st.none() | st.integers(1, 5))
    def gc(self, dies: int | None) -> None:
        self.do("gc", dies)

    @rule(job=JOB)
    def forget(self, job: int) -> None:
        self.do("forget", job)

    @rule(only=TARGET)
    def save(self, only: int | None) -> None:
        self.do("save", only)

    @rule(detach=st.booleans(), dies=st.none() | st.integers(1, 20))
    def apply_saved(self, detach: bool, dies: int | None) -> None:
        self.do("apply_saved", detach=detach, dies=dies)

    @rule(job=JOB, answers=st.booleans(), detach=st.booleans(), dies=st.none() | st.integers(1, 15))
    def destroy(self, job: int, answers: bool, detach: bool, dies: int | None) -> None:
        self.do("destroy", job, answers=answers, detach=detach, dies=dies)

    @rule()
    def look(self) -> None:
        self.do("look")

    @rule(most=st.sampled_from([1, 2, 50]), least=st.sampled_from([1, 3]))
    def limit_requests(self, most: int, least: int) -> None:
        self.do("limits", most, least)

    @rule(tokens=st.sampled_from([100, 5000]))
    def limit_tokens(self, tokens: int) -> None:
        self.do("limits", tokens=tokens)

    @rule(job=JOB, key=KEY)
    def taint(self, job: int, key: int) -> None:
        self.do("taint", job, key)

    @rule(detach=st.booleans(), only=TARGET)
    def apply(self, detach: bool, only: int | None) -> None:
        self.do("apply", detach=detach, target=only)

    @rule(detach=st.booleans(), dies=st.integers(1, 40))
    def apply_and_die(self, detach: bool, dies: int) -> None:
        self.do("apply", detach=detach, dies=dies)

    @rule(detach=st.booleans(), replace_job=JOB)
    def apply_anew(self, detach: bool, replace_job: int) -> None:
        self.do("apply", detach=detach, replace_job=replace_job)

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.walk.quiet()
        finally:
            self.walk.close()


def test_steps_in_any_order_converge(told: list[str]) -> None:
    examples = max(25, round(10 * MINUTES))
    steps = settings(
        max_examples=examples,
        stateful_step_count=30 if MINUTES else 15,
        derandomize=not MINUTES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(SEED)(Convergence) if MINUTES else Convergence, settings=steps)
    told.append(f"convergence, drawn by hypothesis: {examples} examples")


def test_strolls_converge(told: list[str]) -> None:
    """Other steps, more of them that do much."""
    patience, number, steps = Patience(0.5), SEED, 0
    while number < SEED + STROLLS or patience:
        steps += stroll(number)  # which checks after every step
        number += 1
    assert steps > number - SEED
    told.append(f"convergence, strolls of seeds {SEED} to {number - 1}: {steps} steps")


def test_a_walk_that_fails_prints_a_program_that_shows_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(walk: Walk) -> None:
        raise AssertionError("paid twice")

    monkeypatch.setattr(Walk, "_check_answers", broken)
    with pytest.raises(AssertionError, match="paid twice") as caught:
        stroll(3)
    (program,) = caught.value.__notes__
    with pytest.raises(AssertionError, match="paid twice"):
        exec(compile(program, "program", "exec"), {})
    file = tmp_path / "thisfile.py"
    file.write_text(program)
    path = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    ran = subprocess.run([sys.executable, str(file)], env=path, capture_output=True, check=False)
    assert ran.returncode == 0, f"whole again, it passes: {ran.stderr.decode()}"


def test_a_saved_plan_is_held_to_its_ceiling_beside_what_is_under_way() -> None:
    """What an earlier batch might have cost, and did not, is nobody's to spend."""
    with Walk() as walk:
        walk.add(0, 3)
        walk.apply(detach=True)
        walk.add(2, 2)
        walk.edit(1, "tokens", 2)
        walk.edit(1, "policy", 2)
        walk.save()
        walk.apply_saved()
        assert "budget" in str(walk.error)
        walk.quiet()
