"""Whether prompts come out the same each time.

A prompt that does not is paid for again with every run. So a sample of rows is rendered twice in
this process and, where a prompt is a function, once more in a process with another hash seed,
which changes the order of sets and whatever follows from it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from batchspec.desired.expand import SourceRow
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import Diagnostic
from batchspec.ids import member
from batchspec.load.rendering import Rendered, render_all
from batchspec.load.rows import read_rows
from batchspec.spec.parts import abbreviated
from batchspec.spec.rows import DerivedSource
from batchspec.spec.shapes import is_list, is_mapping

SAMPLE = 32
"""Rows of each job that are rendered again."""
TIMEOUT = 120.0
"""Seconds the other process may take to import the project and render the samples."""


@dataclass(frozen=True, slots=True)
class _Sample:
    job: DesiredJob
    rows: Sequence[SourceRow]
    rendered: Sequence[Rendered]


def check_determinism(desired: Desired, root: Path) -> list[Diagnostic]:
    """Return a diagnostic per job whose messages differ when rendered again.

    Jobs made of other jobs' answers have no rows yet and are left out. Jobs that were not loaded
    from a folder are rendered again in this process only.
    """
    with desired.imports():
        samples = [_sample(job, root) for job in desired if _is_looked_at(job)]
        found = {
            s.job.address: d for s in samples if (d := _compare(s, _rendered(s.job, s.rows, root)))
        }
    left = [s for s in samples if _calls_user(s.job) and s.job.address not in found]
    if not left or desired.folder is None:
        return list(found.values())
    return [*found.values(), *_elsewhere(root.resolve(), desired.folder, left)]


def _sample(job: DesiredJob, root: Path) -> _Sample:
    assert not isinstance(job.rows, DerivedSource)  # noqa: S101 - the caller leaves them out
    rows = (row for row in read_rows(job.rows, root) if isinstance(row, SourceRow))
    sample = list(islice(rows, SAMPLE))
    return _Sample(job, sample, _rendered(job, sample, root))


def _rendered(job: DesiredJob, rows: Sequence[SourceRow], root: Path) -> list[Rendered]:
    return render_all(job.job, [row.data for row in rows], root)


def _is_looked_at(job: DesiredJob) -> bool:
    """Further samples are the first one's requests again."""
    return not isinstance(job.rows, DerivedSource) and member(job.address).sample == 1


def _calls_user(job: DesiredJob) -> bool:
    return callable(job.job.prompt) or callable(job.job.instructions)


def _elsewhere(root: Path, directory: str, samples: Sequence[_Sample]) -> Iterator[Diagnostic]:
    request = {
        "root": str(root),
        "directory": directory,
        "rows": {s.job.address: [row.data for row in s.rows] for s in samples},
    }
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "batchspec.load.rendering"],
            input=json.dumps(request),
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=True,
        )
    except subprocess.SubprocessError as error:
        yield _not_checked(samples, error)
        return
    answers: Mapping[str, list[Rendered]] = json.loads(done.stdout)
    for sample in samples:
        found = _compare(sample, answers[sample.job.address], " in another process")
        if found:
            yield found


def _compare(sample: _Sample, again: Sequence[Rendered], where: str = "") -> Diagnostic | None:
    for row, first, second in zip(sample.rows, sample.rendered, again, strict=True):
        place = None if first is None or second is None else _difference(first, second, "messages")
        if place:
            path, one, other = place
            return Diagnostic(
                summary="prompt is not deterministic",
                detail=f"Row {row.key!r} came out differently when rendered again{where}: {path}"
                f" was {one}, then {other}. Each run would pay for it anew: leave out the time,"
                " random numbers and the order of sets.",
                source=sample.job.source,
                address=sample.job.address,
            )
    return None


def _difference(first: Any, second: Any, path: str) -> tuple[str, str, str] | None:
    """Return the path to the first difference of two JSON values and both values there."""
    if first == second and type(first) is type(second):
        return None
    if is_mapping(first) and is_mapping(second) and first.keys() == second.keys():
        pairs = [(f"{path}.{name}", first[name], second[name]) for name in first]
    elif is_list(first) and is_list(second) and len(first) == len(second):
        pairs = [
            (f"{path}[{at}]", *both) for at, both in enumerate(zip(first, second, strict=True))
        ]
    else:
        return path, *_around(first, second)
    return next((found for at, a, b in pairs if (found := _difference(a, b, at))), None)


def _around(first: Any, second: Any) -> tuple[str, str]:
    seen = abbreviated(first), abbreviated(second)
    one, other = (v if isinstance(v, str) else json.dumps(v) for v in seen)
    pairs = enumerate(zip(one, other, strict=False))
    common = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
    start = max(0, common - 20)
    lead = "…" if start else ""
    return repr(lead + one[start : common + 40]), repr(lead + other[start : common + 40])


def _not_checked(samples: Sequence[_Sample], error: subprocess.SubprocessError) -> Diagnostic:
    said = str(getattr(error, "stderr", None) or error).strip().splitlines()
    names = ", ".join(sample.job.address for sample in samples)
    return Diagnostic(
        summary="prompts could not be checked in another process",
        detail=f"Of {names}. It said: {said[-1] if said else 'nothing'}",
        source=samples[0].job.source,
        severity="warning",
    )
