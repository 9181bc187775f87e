"""What `validating` does: judge a whole input file, and say everything that is wrong with it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from batchspec.simulator.jobs.records import BatchError
from batchspec.simulator.wire import Json, invalid_type, is_object

MAX_LINES = 50_000
MAX_ERRORS = 1_000
"""How many errors one failed batch lists; our own bound, the service's is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRules:
    """What a line must fulfil to be accepted for an endpoint."""

    endpoint: str
    label: str
    required: tuple[str, ...]
    """Fields of the body besides `model`."""
    models: Collection[str] | None = None
    """The models that exist; nothing means any."""
    count_tokens: Callable[[Json], int] | None = None
    """Counts the prompt's tokens, when somebody asks for their sum."""
    count_inputs: Callable[[Json], int] | None = None
    """Counts the inputs of a line, where all together must not be more than `max_inputs`."""
    max_inputs: int | None = None


@dataclass(slots=True)
class Verdict:
    """What is known about an input file; usable when `errors` is empty."""

    errors: list[BatchError] = field(default_factory=list[BatchError])
    model: str | None = None
    total: int = 0
    tokens: int = 0
    inputs: int = 0
    custom_ids: set[str] = field(default_factory=set[str])


def validate_file(path: Path, rules: LineRules) -> Verdict:
    """Read the file once, line by line; blank lines do not count."""
    verdict = Verdict()
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            verdict.total += 1
            if verdict.total > MAX_LINES:
                verdict.errors.append(_too_many())
                break
            if len(verdict.errors) < MAX_ERRORS:
                verdict.errors.extend(_line_errors(raw, number, rules, verdict))
    if rules.max_inputs is not None and verdict.inputs > rules.max_inputs:
        verdict.errors.append(_too_many_inputs(rules.max_inputs))
    if verdict.total == 0:
        message = (
            "The input file is empty. Please ensure that the batch contains at least one request."
        )
        verdict.errors.append(BatchError(code="empty_file", message=message))
    return verdict


def missing_file(file_id: str) -> BatchError:
    message = (
        f"Cannot find file {file_id}, or organization org-simulated does not have access to it."
    )
    return BatchError(code="invalid_request", message=message, param="file_id")


def wrong_purpose(file_id: str, purpose: str) -> BatchError:
    message = (
        f"File {file_id} has purpose '{purpose}'. Batch input files must have purpose 'batch'."
    )
    return BatchError(code="invalid_request", message=message, param="file_id")


def token_limit(model: str, limit: int) -> BatchError:
    message = (
        f"Enqueued token limit reached for {model} in organization org-simulated. "
        f"Limit: {limit:,} enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )
    return BatchError(code="token_limit_exceeded", message=message)


def request_limit(model: str, limit: int) -> BatchError:
    message = (
        f"Enqueued request limit reached for {model} in organization org-simulated. "
        f"Limit: {limit:,} enqueued requests. "
        "Please try again once some in_progress batches have been completed."
    )
    return BatchError(code="request_limit_exceeded", message=message)


def _too_many_inputs(limit: int) -> BatchError:
    message = f"The input file has more than {limit} embedding inputs, the maximum for one batch."
    return BatchError(code="too_many_inputs", message=message)


def _too_many() -> BatchError:
    message = f"The input file has more than {MAX_LINES} requests, the maximum for one batch."
    return BatchError(code="too_many_tasks", message=message)


def _line_errors(
    raw: bytes, number: int, rules: LineRules, verdict: Verdict
) -> Iterator[BatchError]:
    try:
        line = from_json(raw, allow_inf_nan=False)
    except ValueError:
        line = None
    if not is_object(line):
        message = "This line is not parseable as valid JSON."
        yield BatchError(code="invalid_json_line", message=message, line=number)
        return
    for error in _judge(line, rules, verdict):
        yield BatchError(code=error.code, message=error.message, param=error.param, line=number)


def _judge(line: Mapping[str, Any], rules: LineRules, verdict: Verdict) -> Iterator[BatchError]:
    for name in ("custom_id", "method", "url", "body"):
        if line.get(name) is None:
            yield _missing(name, name)
    if (custom_id := line.get("custom_id")) is not None:
        yield from _judge_custom_id(custom_id, verdict)
    if line.get("method") not in {None, "POST"}:
        message = f"Invalid value: '{line['method']}'. Supported values are: 'POST'."
        yield BatchError(code="invalid_method", message=message, param="method")
    if line.get("url") not in {None, rules.endpoint}:
        message = "The URL provided for this request does not match the batch endpoint."
        yield BatchError(code="invalid_url", message=message, param="url")
    body = line.get("body")
    if is_object(body):
        yield from _judge_body(body, rules, verdict)
    elif body is not None:
        yield _wrong_type("body", "an object", body)


def _judge_custom_id(custom_id: object, verdict: Verdict) -> Iterator[BatchError]:
    if not isinstance(custom_id, str):
        yield _wrong_type("custom_id", "a string", custom_id)
    elif custom_id in verdict.custom_ids:
        message = (
            f"The custom_id '{custom_id}' for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch."
        )
        yield BatchError(code="duplicate_custom_id", message=message, param="custom_id")
    else:
        verdict.custom_ids.add(custom_id)


def _judge_body(body: Json, rules: LineRules, verdict: Verdict) -> Iterator[BatchError]:
    yield from _judge_model(body.get("model"), rules, verdict)
    for name in rules.required:
        if body.get(name) is None:
            yield _missing(name, f"body.{name}")
    if body.get("stream"):
        message = f"{rules.label}: Streaming is not supported in the Batch API."
        yield BatchError(code="streaming_unsupported", message=message, param="body.stream")
    if rules.count_tokens is not None:
        verdict.tokens += rules.count_tokens(body)
    if rules.count_inputs is not None:
        verdict.inputs += rules.count_inputs(body)


def _judge_model(model: object, rules: LineRules, verdict: Verdict) -> Iterator[BatchError]:
    if not model:
        message = "Model parameter is required."
        yield BatchError(code="invalid_request", message=message, param="body.model")
    elif not isinstance(model, str):
        yield _wrong_type("body.model", "a string", model)
    elif rules.models is not None and model not in rules.models:
        message = f"The provided model '{model}' is not supported by the Batch API."
        yield BatchError(code="model_not_found", message=message, param="body.model")
    elif verdict.model is None:
        verdict.model = model
    elif model != verdict.model:
        message = (
            f"The model '{model}' for this request does not match the rest of the batch. "
            "Each batch must contain requests for a single model."
        )
        yield BatchError(code="mismatched_model", message=message, param="body.model")


def _missing(name: str, param: str) -> BatchError:
    message = f"Missing required parameter: '{name}'."
    return BatchError(code="missing_required_parameter", message=message, param=param)


def _wrong_type(param: str, expected: str, value: object) -> BatchError:
    message = invalid_type(param, expected, value).message
    return BatchError(code="invalid_type", message=message, param=param)
