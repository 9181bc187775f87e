"""Model settings: the body parameters a job may set."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from batchspec.spec.suggest import did_you_mean
from batchspec.spec.unjson import unjson

Penalty = Annotated[float, Field(ge=-2, le=2)]


class Settings(TypedDict, total=False):
    """Parameters of the request body, in the provider's own names.

    `extra_body` holds parameters not listed here; its entries become part of the body as they are.
    """

    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(ge=0, le=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)]
    seed: int
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"]
    verbosity: Literal["low", "medium", "high"]
    parallel_tool_calls: bool
    tool_choice: Literal["auto", "none", "required"] | dict[str, Any]
    stop: str | Annotated[list[str], Field(min_length=1, max_length=4)]
    presence_penalty: Penalty
    frequency_penalty: Penalty
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]]
    logprobs: bool
    top_logprobs: Annotated[int, Field(ge=0, le=20)]
    service_tier: str
    store: bool
    user: str
    extra_body: dict[str, Any]


_OURS = {
    "model": "set `model` of the Job",
    "messages": "set `instructions` and `prompt` of the Job",
    "input": "set `instructions` and `prompt` of the Job",
    "tools": "set `tools` of the Job",
    "response_format": "set `output` of the Job",
    "text": "set `output` of the Job",
    "n": "samples of a row are set with `samples` of the Job",
    "stream": "a batch cannot stream",
    "background": "a batch runs in the background by nature",
}


@cache
def _adapter() -> TypeAdapter[Settings]:
    return TypeAdapter(Settings)


def setting_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a job's settings, a sentence each."""
    names = [*settings, *_extra(settings)]
    problems = [f"{name!r} is not a setting: {_OURS[name]}." for name in names if name in _OURS]
    unknown = [name for name in settings if name not in _OURS and name not in _names()]
    for name in unknown:
        hint = did_you_mean(name, _names())
        problems.append(
            f"{name!r} is not a known setting. {hint}"
            f' To send it as it is, write settings={{"extra_body": {{{name!r}: …}}}}.'
        )
    known = {name: settings[name] for name in settings if name in _names()}
    return problems + (_value_problems(known) or unsendable(known)) + _clashes(known)


def unsendable(settings: Mapping[str, Any]) -> list[str]:
    """Return which settings no request can hold, a sentence each."""
    told = [unjson(value, str(name)) for name, value in settings.items()]
    return [problem for problem in told if problem]


_ONLY_CHATS = frozenset(
    {"seed", "stop", "presence_penalty", "frequency_penalty", "logit_bias", "response_format"}
)
_RESPONSES = "/v1/responses"
_FEWEST_TOKENS = 16


def endpoint_problems(endpoint: str, settings: Mapping[str, Any]) -> list[str]:
    """Return which settings an endpoint does not take, a sentence each.

    Args:
        endpoint: Where the requests go.
        settings: As body parameters, see `body_settings`.
    """
    if endpoint != _RESPONSES:
        return []
    problems = [
        f"{name!r} is a setting that {endpoint} does not have; remove it, or use a provider that"
        " speaks /v1/chat/completions (`openai:`)."
        for name in settings
        if name in _ONLY_CHATS
    ]
    limits = {name: settings.get(name) for name in ("max_tokens", "max_completion_tokens")}
    problems += [
        f"{name!r} is {limit}, and {endpoint} takes no limit below {_FEWEST_TOKENS}."
        for name, limit in limits.items()
        if isinstance(limit, int) and limit < _FEWEST_TOKENS
    ]
    return problems


def body_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings as body parameters, those of `extra_body` among them."""
    body = {name: value for name, value in settings.items() if name != "extra_body"}
    return body | _extra(settings)


def _names() -> frozenset[str]:
    return Settings.__optional_keys__


def _value_problems(known: dict[str, Any]) -> list[str]:
    try:
        _adapter().validate_python(known, strict=True)
    except ValidationError as error:
        return [
            f"{'.'.join(str(step) for step in detail['loc'])}: {detail['msg']}"
            f" (got {detail['input']!r:.80})."
            for detail in error.errors(include_url=False)
        ]
    return []


def _clashes(known: dict[str, Any]) -> list[str]:
    twice = sorted(known.keys() & _extra(known).keys())
    return [f"{name!r} is set twice, in settings and in extra_body." for name in twice]


def _extra(settings: Mapping[str, Any]) -> dict[str, Any]:
    extra: Any = settings.get("extra_body")
    return dict(cast("Mapping[str, Any]", extra)) if isinstance(extra, Mapping) else {}
