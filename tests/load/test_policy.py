"""The policy fingerprint: what runs here, whatever it is called and wherever it lives."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchspec.load.build import load_project

from .conftest import Project

SPEC = '''
import re
from enum import Enum
import helper
from decimal import Decimal
from pydantic import Field

RATE = {3, 1, 2}
PATTERN = re.compile("a")


class Level(Enum):
    LOW = 1


class Part(BaseModel):
    n: int
    level: Level = Level.LOW


class Out(BaseModel):
    """Doc."""
    part: Part
    kind: str = Field(min_length=1)

    def twice(self):
        return self.part.n * 2


def deep(x):
    return x + len(RATE) + helper.add(1)


@tool(timeout=1)
def look(ctx: RunContext, q: str) -> str:
    """Look.

    Args:
        q: What.
    """
    return str(deep(1)) + q


def check(value):
    assert PATTERN.match("a")
    return value


j = Job(
    model="openai:m",
    rows=rows.inline([{"id": 1}]),
    prompt="{id}",
    tools=[look],
    output=Out,
    output_validators=[check, lambda v: v],
    grade=lambda row, out: out.kind == "x",
)
'''
HELPER = "import math\nBASE = 1\ndef add(n):\n    return n + BASE + math.pi\ndef other(): pass\n"


def policy(project: Project, spec: str = SPEC, helper: str = HELPER) -> bytes:
    root = project({"specs/a.py": spec, "helper.py": helper})
    return load_project(root, providers={"openai": "/v1"}).jobs[0].policy


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return str(deep(1)) + q", "return str(deep(2)) + q"),
        ("return x + len(RATE)", "return x - len(RATE)"),
        ("RATE = {3, 1, 2}", "RATE = {3, 1}"),
        ('re.compile("a")', 're.compile("a", re.I)'),
        ("n: int", "n: str"),
        ("LOW = 1", "LOW = 2"),
        ("self.part.n * 2", "self.part.n * 3"),
        ("min_length=1", "min_length=2"),
        ("    return value", "    return value or None"),
        ("lambda v: v]", "lambda v: not v]"),
        ("    output=Out,", "    output=Out, max_turns=3,"),
        ("    output=Out,", "    output=Out, output_retries=3,"),
        ("def add(n):\n    return n", "def add(n):\n    return -n"),
        ("BASE = 1", "BASE = 2"),
    ],
)
def test_a_change_of_what_runs_is_seen(project: Project, old: str, new: str) -> None:
    before = policy(project)
    assert policy(project, SPEC.replace(old, new), HELPER.replace(old, new)) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return str(deep(1)) + q", "return (str(deep(1))\n        + q)  # why"),
        ("RATE = {3, 1, 2}", "RATE = {2, 3, 1}"),
        ("def deep(x):\n", "def deep(x):\n    '''Doc.'''\n"),
        ("timeout=1", "timeout=2"),
        ('prompt="{id}"', 'prompt="{id}!"'),
        ("j = Job(", "unused = 3\nrenamed = Job("),
        ("def other(): pass", "def other(): return 1"),
        ("openai:m", "openai:n"),
    ],
)
def test_what_does_not_run_here_is_not_seen(project: Project, old: str, new: str) -> None:
    before = policy(project)
    assert policy(project, SPEC.replace(old, new), HELPER.replace(old, new)) == before


def test_moving_and_renaming_a_file_is_free(project: Project, tmp_path: Path) -> None:
    before = policy(project)
    (tmp_path / "specs" / "a.py").rename(tmp_path / "specs" / "b.py")
    (job,) = load_project(tmp_path, providers={"openai": "/v1"}).jobs
    assert (job.address, job.policy) == ("b.j", before)


def test_the_payload_names_what_was_reached(project: Project) -> None:
    root = project({"specs/a.py": SPEC, "helper.py": HELPER})
    (job,) = load_project(root, providers={"openai": "/v1"}).jobs
    payload: Any = json.loads(job.policy_payload)
    assert payload["version"] == 1
    assert sorted(payload["payload"]["entries"]) == [
        "output",
        "tool look",
        "validator 1",
        "validator 2",
    ]
    assert sorted(payload["payload"]["reached"]) == [
        "helper:BASE",
        "helper:helper.add",
        "specs.a:Level",
        "specs.a:PATTERN",
        "specs.a:Part",
        "specs.a:RATE",
        "specs.a:deep",
    ]


def test_recursion_closures_partials_and_instances_are_followed(project: Project) -> None:
    spec = """
from functools import partial

def loop(n):
    return n and loop(n - 1)

def scaled(factor):
    def scale(value):
        return loop(value) * factor
    return scale

class Checker:
    def __init__(self, n): self.n = n
    def __call__(self, value): return value

j = Job(
    model="openai:m",
    rows=rows.inline([{"id": 1}]),
    prompt="{id}",
    output=int,
    output_validators=[scaled(2), partial(pow, 2), Checker(3)],
)
"""
    before = policy(project, spec)
    assert policy(project, spec.replace("scaled(2)", "scaled(3)")) != before
    assert policy(project, spec.replace("partial(pow, 2)", "partial(pow, 3)")) != before
    assert policy(project, spec.replace("value): return value", "value): return 0")) != before
    assert policy(project, spec.replace("n and loop", "n or loop")) != before
    assert policy(project, spec) == before


STATES = {
    "a dataclass": ("C = Config(rate=0.2)", "return n * C.rate", "0.2", "0.5"),
    "a frozen dataclass with slots": ("C = Slots(rate=0.2)", "return n * C.rate", "0.2", "0.5"),
    "a model in a dict": ("C = {'a': Model(rate=2.0)}", "return n * C['a'].rate", "2.0", "9.0"),
    "an object": ("C = Calc(2.0)", "return n * C.rate", "2.0", "9.0"),
    "an object in an object": ("C = Calc(Model(rate=2.0))", "return C.rate.rate", "2.0", "9.0"),
    "a mapping with more": ("C = Table(a=2.0)", "return n * C['a']", "2.0", "9.0"),
    "a function in a dict": ("C = {'a': lambda n: n * 2.0}", "return C['a'](n)", "2.0", "9.0"),
}
CLASSES = """
import functools
from dataclasses import dataclass

@dataclass
class Config:
    rate: float

@dataclass(frozen=True, slots=True)
class Slots:
    rate: float

class Model(BaseModel):
    rate: float

class Calc:
    def __init__(self, rate):
        self.rate = rate
        self._lock = object

    def scale(self, n: float) -> float:
        return n * self.rate

class Table(dict): pass

def scaled(rate):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(n: float) -> float:
            return rate * function(n)
        return wrapper
    return decorate

def plain(n: float) -> float:
    return n
"""
JOB = """
j = Job(
    model="openai:m", rows=rows.inline([{"id": 1}]), prompt="{id}", tools=[f],
)
"""


def both(project: Project, spec: str) -> tuple[bytes, bytes | None]:
    """Return the fingerprint of a job's policy, and of the code of its pure tool `f`."""
    root = project({"specs/a.py": CLASSES + spec + JOB})
    (job,) = load_project(root, providers={"openai": "/v1"}).jobs
    return job.policy, job.pure.get("f")


@pytest.mark.parametrize("what", STATES)
def test_the_state_of_what_is_used_is_seen(project: Project, what: str) -> None:
    made, body, old, new = STATES[what]
    spec = f"{made}\n@tool(pure=True)\ndef f(n: float) -> float:\n    {body}\n"
    before, code = both(project, spec)
    after, other = both(project, spec.replace(old, new))
    assert code is not None
    assert other is not None
    assert (before == after, code == other) == (False, False)
    assert both(project, spec) == (before, code)


@pytest.mark.parametrize(
    "tool",
    ["Calc(2.0).scale", "scaled(2.0)(plain)", "functools.lru_cache(scaled(2.0)(plain))"],
)
def test_what_a_tool_is_bound_to_or_wrapped_in_is_seen(project: Project, tool: str) -> None:
    spec = f"f = tool(pure=True, name='f')({tool})\n"
    before, code = both(project, spec)
    after, other = both(project, spec.replace("2.0", "9.0"))
    assert code is not None
    assert (before == after, code == other) == (False, False)
    assert both(project, spec) == (before, code)


def test_two_wrappers_of_one_decorator_are_told_apart(project: Project) -> None:
    spec = """
one, two = scaled(1.0)(plain), scaled(2.0)(plain)
@tool(pure=True)
def f(n: float) -> float:
    return one(n) + two(n)
"""
    changed = spec.replace("2.0", "9.0")
    assert both(project, spec)[0] != both(project, changed)[0]
    assert both(project, spec)[1] != both(project, changed)[1]


def test_what_changes_at_each_load_and_is_private_is_no_change(project: Project) -> None:
    """Else every plan would judge stored replies again."""
    spec = """
import itertools, time

class Limiter:
    def __init__(self):
        self.most = 3
        self._last = time.perf_counter()

LIMITER = Limiter()

@tool
def f(n: float) -> float:
    return n + LIMITER.most
"""
    assert both(project, spec)[0] == both(project, spec)[0]


def test_answers_of_what_nobody_can_compare_are_not_kept_and_that_is_told(
    project: Project,
) -> None:
    spec = """
import threading, logging
LOG, LOCK, PARTS = logging.getLogger("a"), threading.Lock(), (n for n in "ab")

@tool(pure=True)
def f(n: float) -> float:
    LOG.info("f")
    with LOCK:
        return n
"""
    assert both(project, spec)[1] is not None
    root = project({"specs/a.py": CLASSES + spec.replace("return n", "return next(PARTS)") + JOB})
    desired = load_project(root, providers={"openai": "/v1"})
    assert desired["a.j"].pure == {}
    (warning,) = desired.warnings
    assert warning.summary == "answers of the pure tool 'f' are not kept"
    assert "generator" in warning.detail
