"""What a `Job` accepts: one rule per argument, all broken ones told at once."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from batchspec.fingerprint import canonical_json
from batchspec.spec import rows as row_sources
from batchspec.spec.durations import seconds_of
from batchspec.spec.hooks import HOOKS, hook_check
from batchspec.spec.model import parse_model
from batchspec.spec.output.declared import output_problems
from batchspec.spec.prompt import PromptInvalid, Template, refuse_long
from batchspec.spec.settings import setting_problems
from batchspec.spec.shapes import LARGEST, is_list, is_mapping
from batchspec.spec.suggest import did_you_mean
from batchspec.spec.variants import MOST, variant_problems

REQUIRED = ("model", "prompt")
"""`rows` too, but for a judge, which others name; the loader looks at that."""
IGNORABLE = ("model", "instructions", "prompt", "settings", "tools", "output")
"""Parts of a request that `ignore_changes` may name."""
RESERVED_METADATA = ("batchspec", "lineage")
MAX_METADATA = 14
"""The provider takes 16 entries; two are ours."""
_CENTURY = 36_525 * 86_400
"""Seconds; what is longer is a mistake, and some of it is further than a date can be written."""

MOST_DOLLARS = 1e12

Check = Callable[[Any], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a kind of job accepts.

    Attributes:
        name: Of the class.
        checks: By argument.
        required: Arguments that must be given.
        example: How the required ones are written.
        foreign: Arguments of other kinds of jobs, with what to say where they are given.
        together: What is wrong with arguments that are right one by one.
    """

    name: str
    checks: Mapping[str, Check]
    required: Sequence[str]
    example: str
    foreign: Mapping[str, str] = field(default_factory=dict[str, str])
    together: Callable[[Mapping[str, Any]], Iterable[str]] = lambda _: ()


def problems(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the arguments of a job, a sentence each."""
    name, checks = signature.name, signature.checks
    found = [_unknown(signature, given) for given in sorted(kwargs.keys() - checks.keys())]
    found += [f"{name} needs `{needed}`." for needed in signature.required if needed not in kwargs]
    if args:
        found.append(f"Write the arguments of {name} by name: {name}({signature.example}).")
    known = {given: value for given, value in kwargs.items() if given in checks}
    found += [told for given, value in known.items() for told in checks[given](value)]
    return found or list(signature.together(known))


def _unknown(signature: Signature, given: str) -> str:
    told = signature.foreign.get(given) or did_you_mean(given, signature.checks)
    return f"{signature.name} has no argument {given!r}. {told}"


def positional(function: Callable[..., Any]) -> int | None:
    """Return how many positional parameters a function needs; None where it cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def _model(value: Any) -> Iterable[str]:
    try:
        parse_model(value)
    except (AttributeError, ValueError):
        yield (
            '`model` is written "provider:model", for example "openai:gpt-5-mini";'
            f" got {value!r:.80}."
        )


def _rows(value: Any) -> Iterable[str]:
    if not isinstance(value, row_sources.RowSource):
        yield (
            "`rows` says where rows come from: rows.inline([…]), rows.csv(…), rows.jsonl(…),"
            " rows.parquet(…), rows.files(…), rows.iterable(…), rows.outputs_of(…) or"
            " rows.collect(…);"
            f" got {value!r:.80}."
        )


def _optional(check: Check) -> Check:
    return lambda value: () if value is None else check(value)


def template_or_function(name: str) -> Check:
    """Return the check of what makes a text of a row."""

    def check(value: Any) -> Iterable[str]:
        if isinstance(value, str):
            try:
                constant = Template(value).constant
                refuse_long(constant or "", "The text")
            except PromptInvalid as error:
                yield f"`{name}`: {error}"
            else:
                if constant is not None and not constant:
                    hint = "leave it out" if name == "instructions" else "nothing would be asked"
                    yield f"`{name}` is an empty text; {hint}."
        elif not callable(value):
            yield f"`{name}` is a template or a function of a row; got {value!r:.80}."
        elif inspect.iscoroutinefunction(value):
            yield f"`{name}` must be a plain function, because prompts are rendered in bulk."
        elif positional(value) not in (None, 1):
            yield f"`{name}` must be a function of one parameter, the row; got {value!r:.80}."

    return check


def _output(value: Any) -> Iterable[str]:
    yield from (f"`output`: {problem}" for problem in output_problems(value))


def _functions(name: str, allowed: Sequence[int]) -> Check:
    def check(value: Any) -> Iterable[str]:
        if not is_list(value):
            yield f"`{name}` is a list of functions; got {value!r:.80}."
            return
        for function in value:
            if not callable(function):
                yield f"`{name}` is a list of functions; {function!r:.80} is none."
            elif allowed and positional(function) not in (None, *allowed):
                yield f"`{name}`: {function!r:.80} must take (value) or (ctx, value)."

    return check


def _whole(name: str, least: int) -> Check:
    def check(value: Any) -> Iterable[str]:
        if type(value) is not int or value < least:
            yield f"`{name}` is a whole number from {least}; got {value!r:.80}."
        elif value > LARGEST:
            yield f"`{name}` is {LARGEST:_} at most."

    return check


def _boolean(name: str) -> Check:
    def check(value: Any) -> Iterable[str]:
        if not isinstance(value, bool):
            yield f"`{name}` is True or False; got {value!r:.80}."

    return check


def _row_type(value: Any) -> Iterable[str]:
    if value is not None and not (isinstance(value, type) and issubclass(value, BaseModel)):
        yield f"`row_type` is a Pydantic model (the class); got {value!r:.80}."
    elif value is BaseModel:
        yield "`row_type` is a class of your own that inherits from BaseModel."


def _settings(value: Any) -> Iterable[str]:
    if value is None:
        return
    if not is_mapping(value):
        yield f'`settings` is a dict such as {{"temperature": 0}}; got {value!r:.80}.'
        return
    names = {str(name): setting for name, setting in value.items()}
    yield from (f"`settings`: {problem}" for problem in setting_problems(names))


def _variants(value: Any) -> Iterable[str]:
    return variant_problems(value, _CHECKS)


def in_vain(given: Mapping[str, Any]) -> Iterable[str]:
    """Yield what is wrong where a job asks for what its other arguments do not allow."""
    variants: Mapping[str, Mapping[str, Any]] = given.get("variants") or {}
    expires = [given, *variants.values()]
    if given.get("protect") and any(one.get("expires_after") is not None for one in expires):
        yield (
            "`protect` refuses to pay for an answer again, and `expires_after` asks for that: give"
            " one of them."
        )
    if given.get("refresh_every") is None:
        return
    source = given.get("rows", row_sources.JUDGED)
    if isinstance(source, row_sources.DerivedSource):
        yield "`refresh_every`: rows made of answers follow the answers; leave it out."
    elif isinstance(source, row_sources.Inline):
        yield (
            "`refresh_every`: rows.inline(…) is what it was when the spec was loaded; have a"
            " function read again with rows.iterable(…)."
        )


def _together(kwargs: Mapping[str, Any]) -> Iterable[str]:
    yield from in_vain(kwargs)
    times = max(1, len(kwargs.get("variants") or {})) * kwargs.get("samples", 1)
    if times > MOST:
        yield f"Variants times samples are {times}; at most {MOST} are allowed."


def _grade(value: Any) -> Iterable[str]:
    from batchspec.spec.job import Job  # noqa: PLC0415 - a Job is made by what is checked here

    if value is None or isinstance(value, Job):
        return
    if not callable(value) or positional(value) not in (None, 1, 2):
        yield f"`grade` is a function (row, output) or (output), or a Job; got {value!r:.80}."
    elif inspect.iscoroutinefunction(value):
        yield "`grade` must be a plain function."


def _deps(value: Any) -> Iterable[str]:
    if value is not None and (not callable(value) or positional(value) not in (None, 0)):
        yield f"`deps` is a function without parameters, called once per run; got {value!r:.80}."


def _max_cost(value: Any) -> Iterable[str]:
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MOST_DOLLARS:
        yield f"`max_cost` is an amount in US dollars; got {value!r:.80}."


def parts_of_request(ignorable: Sequence[str]) -> Check:
    """Return the check of `ignore_changes`."""

    def check(value: Any) -> Iterable[str]:
        if not is_list(value):
            yield f'`ignore_changes` is a list such as ["{ignorable[1]}"]; got {value!r:.80}.'
            return
        for part in value:
            if part not in ignorable:
                hint = did_you_mean(str(part), ignorable)
                yield f"`ignore_changes` names no part of a request: {part!r:.80}. {hint}"

    return check


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _metadata(value: Any) -> Iterable[str]:
    if value is None:
        return
    if not is_mapping(value):
        yield f'`metadata` is a dict such as {{"team": "support"}}; got {value!r:.80}.'
        return
    if len(value) > MAX_METADATA:
        yield f"`metadata` has {len(value)} entries; at most {MAX_METADATA} are allowed."
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            yield f"`metadata` maps texts to texts; got {name!r:.80}: {text!r:.80}."
        elif not (_is_unicode(name) and _is_unicode(text)):
            # The request that makes the batch could not be written, time and again.
            yield f"`metadata` has a character no request can hold; got {name!r:.80}: {text!r:.80}."
        elif len(name) > 64 or len(text) > 512:
            yield f"`metadata` {name!r:.80} is too long; 64 and 512 characters are allowed."
        elif name in RESERVED_METADATA:
            yield f"`metadata` {name!r} is ours; choose another name."


def _triggers(value: Any) -> Iterable[str]:
    if value is None:
        return
    if not is_mapping(value):
        yield f'`triggers` is a dict such as {{"refresh": "2026-09"}}; got {value!r:.80}.'
        return
    for name, one in value.items():
        if not isinstance(name, str) or not name:
            yield f"`triggers` has names that are texts; got {name!r:.80}."
            continue
        try:
            canonical_json(one)
        except (TypeError, ValueError, RecursionError):
            yield (
                f"`triggers` {name!r:.80} is no JSON value, such as a text or a number;"
                f" got {one!r:.80}."
            )


def _duration(name: str, least: float, told: str) -> Check:
    def check(value: Any) -> Iterable[str]:
        try:
            seconds = seconds_of(value) if isinstance(value, str | timedelta) else -1
        except ValueError:
            seconds = -1
        if not 0 <= seconds <= _CENTURY:
            yield (
                f'`{name}` is a duration such as "1h" or "30d", or a timedelta; got {value!r:.80}.'
            )
        elif seconds < least:
            yield f"`{name}` is {told} at least; got {value!r:.80}."

    return _optional(check)


def _window(value: Any) -> Iterable[str]:
    if value != "24h":
        yield f'`completion_window` is "24h", the only one there is; got {value!r:.80}.'


_CHECKS: Mapping[str, Check] = {
    "model": _model,
    "rows": _rows,
    "prompt": template_or_function("prompt"),
    "instructions": _optional(template_or_function("instructions")),
    "output": _output,
    "output_validators": _functions("output_validators", (1, 2)),
    "output_retries": _whole("output_retries", 0),
    "tools": _functions("tools", ()),
    "max_turns": _whole("max_turns", 1),
    "row_type": _row_type,
    "settings": _settings,
    "samples": _whole("samples", 1),
    "variants": _variants,
    "grade": _grade,
    "deps": _deps,
    "max_cost": _max_cost,
    "protect": _boolean("protect"),
    "enabled": _boolean("enabled"),
    "ignore_changes": parts_of_request(IGNORABLE),
    "triggers": _triggers,
    "refresh_every": _duration("refresh_every", 1, "a second"),
    "expires_after": _duration("expires_after", 60, "a minute"),
    "metadata": _metadata,
    "completion_window": _window,
    **{name: hook_check(name, positional) for name in HOOKS.values()},
}

JOB = Signature(
    name="Job",
    checks=_CHECKS,
    required=REQUIRED,
    example='model="…", rows=…, prompt="…"',
    together=_together,
)
_SHARED = (
    "model",
    "rows",
    "row_type",
    "max_cost",
    "protect",
    "enabled",
    "triggers",
    "refresh_every",
    "expires_after",
    "metadata",
    "completion_window",
    *HOOKS.values(),
)
SHARED: Mapping[str, Check] = {name: _CHECKS[name] for name in _SHARED}
"""Arguments that mean the same for every kind of job."""
