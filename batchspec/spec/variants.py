"""Variants of a job: the same rows asked in several ways, to be compared."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from batchspec.errors import Diagnostic, SpecError
from batchspec.ids import JobAddress, Member
from batchspec.spec.origin import call_site
from batchspec.spec.shapes import is_list, is_mapping
from batchspec.spec.suggest import did_you_mean

if TYPE_CHECKING:
    from batchspec.spec.job import Job

SHARED = frozenset({
    "rows", "row_type", "variants", "samples", "grade", "max_cost", "protect", "metadata",
    "completion_window", "on_item_final", "on_job_final", "on_error", "refresh_every",
})  # fmt: skip
"""Arguments that all variants of a job have in common."""
MOST = 1_000
"""Variants times samples of a job; each goes through all rows."""
_LONGEST = 100
"""Characters of a variant's name."""
_AS_NAME = 60
"""Characters of a text that can be its own name in a matrix."""

Check = Callable[[Any], Iterable[str]]


def matrix(**axes: Sequence[Any] | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return variants for every combination of some arguments of a job.

    `matrix(model=["openai:gpt-5-mini", "openai:gpt-5-nano"], instructions={"terse": "Be brief."})`
    has the variants `openai:gpt-5-mini,terse` and `openai:gpt-5-nano,terse`. The first value of
    each axis makes the first variant, the baseline of comparisons.

    Args:
        axes: From an argument of `Job` to its values. A list has short texts, which are their own
            names, or numbers, whose names are like `max_turns=2`; a mapping names any values.

    Raises:
        SpecError: An axis is empty, or a value has no name.
    """
    if not axes:
        raise _wrong("it needs an axis, such as model=[…]", axes)
    named = [list(_axis(name, values)) for name, values in axes.items()]
    size = prod(map(len, named))
    if size > MOST:
        raise _wrong(f"it makes at most {MOST} variants", size)
    found = {
        ",".join(label for label, _ in row): dict(zip(axes, (v for _, v in row), strict=True))
        for row in product(*named)
    }
    if len(found) != size:
        raise _wrong("it would give one name to two variants: name the values", [*found])
    return found


def _axis(name: str, values: Any) -> Iterator[tuple[str, Any]]:
    if is_mapping(values):
        named = [(str(label), value) for label, value in values.items()]
    elif is_list(values):
        named = [(_label(name, value), value) for value in values]
    else:
        raise _wrong(f"`{name}` is a list of values, or a mapping of named ones", values)
    if not named:
        raise _wrong(f"`{name}` has no values", values)
    yield from named


def _label(name: str, value: Any) -> str:
    if isinstance(value, str) and 0 < len(value) <= _AS_NAME and value.isprintable():
        return value
    if isinstance(value, bool | int | float):
        return f"{name}={value}"
    text = f'give the values of `{name}` names, such as {name}={{"short": …}}'
    raise _wrong(text, value)


def _wrong(told: str, got: object) -> SpecError:
    detail = f"`matrix`: {told}; got {got!r:.200}."
    return SpecError([Diagnostic(summary="matrix is not valid", detail=detail, source=call_site())])


def variant_problems(value: Any, checks: Mapping[str, Check]) -> Iterator[str]:
    """Yield what is wrong with `variants`; overrides are checked as a job's arguments are."""
    if value is None:
        return
    if not is_mapping(value) or not value:
        yield (
            '`variants` is a mapping such as {"plain": {}, "terse": {"instructions": "Be brief."}};'
            f" got {value!r:.80}."
        )
        return
    for name, overrides in value.items():
        told = f"`variants` {name!r:.120}"
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            yield f"{told}: the name of a variant is a short printable text."
        elif len(name) > _LONGEST:
            yield f"{told}: the name has {len(name)} characters; at most {_LONGEST} are allowed."
        if not is_mapping(overrides):
            yield f"{told}: what is different in a variant is a mapping; got {overrides!r:.80}."
            continue
        for problem in _override_problems(overrides, checks):
            yield f"{told}: {problem}"


def _override_problems(overrides: Mapping[Any, Any], checks: Mapping[str, Check]) -> Iterator[str]:
    free = [name for name in checks if name not in SHARED]
    for name, value in overrides.items():
        if name in SHARED:
            yield f"`{name}` is the same in all variants; say it for the job."
        elif name not in checks:
            yield f"Job has no argument {name!r}. {did_you_mean(str(name), free)}"
        else:
            yield from checks[name](value)


def members(address: JobAddress, job: "Job") -> Iterator[tuple[Member, "Job"]]:
    """Yield a job as it is for each variant and sample; samples of a variant are one object."""
    for name, overrides in _of(job):
        made = job if name is None else _merged(job, overrides)
        for sample in range(1, job.samples + 1):
            yield Member(address, name, sample), made


def _of(job: "Job") -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    if not job.variants:
        yield None, {}
        return
    yield from job.variants.items()


def _merged(job: "Job", overrides: Mapping[str, Any]) -> "Job":
    """Return a copy with the place of the job; a variant is no other resource."""
    made = copy.copy(job)
    given = dict(overrides)
    if given.get("settings") is not None:
        given["settings"] = {**(job.settings or {}), **given["settings"]}
    made.change(given)
    return made
