"""A job's instructions and prompt, or its input, as one function from a row to a request."""

from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

from batchspec.desired.attached import Attached, Attaching
from batchspec.fingerprint import canonical_json
from batchspec.messages import Message
from batchspec.spec.embedding import EmbeddingJob, inputs
from batchspec.spec.job import Job
from batchspec.spec.prompt import PromptInvalid, Template, as_messages, refuse_long
from batchspec.spec.result import MAX_CONTENT
from batchspec.spec.unjson import unjson

Part = Callable[[Any], str | list[Message]]
"""From a row (a dict, or the `row_type`) to a text or to messages."""
Encode = Callable[[Any], bytes]
RESPONSES = "/v1/responses"
"""The endpoint whose messages of the system may hold images and documents too."""


def renderer(
    job: Job,
    told: str | None = None,
    root: str = "",
    endpoint: str = RESPONSES,
    attached: Attached | None = None,
) -> Callable[[Any], Any]:
    """Return the function from a row to its messages, or to its input, for people to read.

    Args:
        job: Whose instructions and prompt are rendered.
        root: Where the paths of files in prompts begin.
        told: What the output mode adds to the system message.
        endpoint: Says whose messages may hold images and documents.
        attached: Is told of the files that are read.
    """
    if isinstance(job, EmbeddingJob):
        return inputs(job)
    prompt = _part(job.prompt, job, root, endpoint, attached)
    said = job.instructions
    instructions = None if said is None else _part(said, job, root, endpoint, attached)

    def render(row: Any) -> list[Message]:
        system = _messages(instructions(row), "system") if instructions else []
        messages = [*system, *_messages(prompt(row), "user")]
        return messages if told is None else _with(messages, told)

    return render


def encoder(
    job: Job,
    told: str | None = None,
    root: str = "",
    endpoint: str = RESPONSES,
    attached: Attached | None = None,
) -> Encode:
    """Return the function from a row to the canonical JSON of its messages.

    The bytes are those of `canonical_json(renderer(…)(row))`, put together from
    fragments: a dict per message would cost more than the rest of the work on a row.
    """
    if isinstance(job, EmbeddingJob):
        return _input_encoder(job)
    if told is not None:
        return _told_encoder(job, root, told, endpoint, attached)
    user = _fragment(_part(job.prompt, job, root, endpoint, attached), "user")
    if job.instructions is None:
        return lambda row: b"[" + user(row) + b"]"
    system = _fragment(_part(job.instructions, job, root, endpoint, attached), "system")
    if isinstance(job.instructions, str) and Template(job.instructions).constant is not None:
        head = b"[" + system(None) + b","
        return lambda row: head + user(row) + b"]"
    return lambda row: b"[" + system(row) + b"," + user(row) + b"]"


def _told_encoder(
    job: Job, root: str, told: str, endpoint: str, attached: Attached | None
) -> Encode:
    """Return `encoder` for a job whose output mode adds to the system message."""
    constant = None
    if isinstance(job.instructions, str):
        constant = Template(job.instructions).constant
    long = len(constant or "") + len(told) > MAX_CONTENT - 2
    if not isinstance(job.prompt, str) or (job.instructions is not None and not constant) or long:
        render = renderer(job, told, root, endpoint, attached)
        return lambda row: _sent(render(row), "messages")
    head = canonical_json(_with(_messages(constant, "system") if constant else [], told))[:-1]
    user = _fragment(_part(job.prompt, job, root, endpoint, attached), "user")
    return lambda row: b"%s,%s]" % (head, user(row))


def _with(messages: list[Message], told: str) -> list[Message]:
    """Return messages whose first system message says more; some models take only one."""
    first = messages[0] if messages else None
    if first is None or first["role"] != "system" or not isinstance(first["content"], str):
        return [{"role": "system", "content": told}, *messages]
    content = f"{first['content']}\n\n{told}"
    refuse_long(content, "The instructions, with the schema of the output,")
    return [{**first, "content": content}, *messages[1:]]


def _input_encoder(job: EmbeddingJob) -> Encode:
    render = inputs(job)

    def encode(row: Any) -> bytes:
        value = render(row)
        if isinstance(value, str):
            return encode_basestring(value).encode("utf-8", "replace")
        return canonical_json(value)

    return encode


def _part(given: Any, job: Job, root: str, endpoint: str, attached: Attached | None) -> Part:
    if isinstance(given, str):
        return Template(given).compile(job.row_type)
    only_text = ("assistant",) if endpoint == RESPONSES else ("assistant", "system", "tool")

    def call(row: Any) -> str | list[Message]:
        result = given(row)
        if isinstance(result, str):
            return result
        return as_messages(result, Attaching(root, attached), only_text)

    return call


def _messages(part: str | list[Message], role: str) -> list[Message]:
    if not isinstance(part, str):
        return part
    _refuse_size(part, role)
    return [{"role": "user" if role == "user" else "system", "content": part}]


def _fragment(part: Part, role: str) -> Encode:
    tail = b',"role":"%s"}' % role.encode()

    def encode(row: Any) -> bytes:
        text = part(row)
        if not isinstance(text, str):
            return _sent(text, "prompt" if role == "user" else "instructions")[1:-1]
        if not 0 < len(text) <= MAX_CONTENT:
            _refuse_size(text, role)
        return b'{"content":' + encode_basestring(text).encode("utf-8", "replace") + tail

    return encode


def _sent(messages: list[Message], what: str) -> bytes:
    try:
        return canonical_json(messages)
    except (TypeError, ValueError, RecursionError):
        # Looked for once it is known: most messages have nothing to be found.
        raise PromptInvalid(unjson(messages, what) or f"{what} cannot be sent as JSON.") from None


def _refuse_size(text: str, role: str) -> None:
    what = "The prompt" if role == "user" else "The instructions"
    if not text:
        raise PromptInvalid(f"{what} came out empty; there is nothing to ask.")
    refuse_long(text, what)
