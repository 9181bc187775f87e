"""Settings that the first models that reason do not take."""

import re
from functools import lru_cache

from batchspec.simulator.wire import HTTPFailure, Json

_FIXED = re.compile(r"(o\d|gpt-5(-mini|-nano|-pro)?)(-\d{4}-\d\d-\d\d)?|o\d-.*")
"""Models from 5.1 on take them again where they do not think."""
_SETTINGS = frozenset(
    {
        "frequency_penalty", "logit_bias", "max_tokens", "presence_penalty", "stop", "temperature",
        "top_p",
    }
)  # fmt: skip
_DEFAULTS = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


def check_settings(body: Json) -> None:
    """Refuse settings of chat completions other than the default, where the model has only that."""
    if _SETTINGS.isdisjoint(body) or not _is_fixed(body["model"]):
        return
    for name in body:
        if not _is_set(body, name):
            continue
        if name == "temperature":
            message = (
                f"Unsupported value: 'temperature' does not support {body[name]} with this model. "
                "Only the default (1) value is supported."
            )
            raise HTTPFailure(400, message, code="unsupported_value", param=name)
        hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
        raise _unsupported(name, hint)


def check_response_settings(body: Json) -> None:
    """The same for responses, which have fewer of them and one message for all."""
    if not _SETTINGS.isdisjoint(body) and _is_fixed(body["model"]):
        for name in body:
            if _is_set(body, name):
                raise _unsupported(name)


def _is_set(body: Json, name: str) -> bool:
    return name in _SETTINGS and body[name] not in (None, _DEFAULTS.get(name))


def _unsupported(name: str, hint: str = "") -> HTTPFailure:
    message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
    return HTTPFailure(400, message, code="unsupported_parameter", param=name)


@lru_cache(maxsize=64)
def _is_fixed(model: str) -> bool:
    return _FIXED.fullmatch(model) is not None
