"""Batches somebody else made: what their lines ask, compared with what a job would ask.

Two requests are one when their bodies are equal as JSON; the order of keys and `1` for `1.0` make
no difference to a provider.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from batchspec.fingerprint import canonical_json
from batchspec.plan.changes import Difference
from batchspec.plan.diff import first_difference
from batchspec.spec.shapes import is_list, is_mapping

_SPOKEN = ("messages", "input", "prompt")
"""Where a body has what is said, whatever the endpoint; the rest are settings."""


class Asked(NamedTuple):
    """What one line of an input file asks.

    Attributes:
        custom_id: As it is there.
        body: Canonical JSON of the body.
        request: A digest of the body.
        spoken: A digest of what is said in it, without model and settings.
        model: The model that is asked; None: the line does not say.
    """

    custom_id: str
    body: bytes
    request: bytes
    spoken: bytes
    model: str | None


def read_line(line: bytes) -> Asked | None:
    """Read one line of an input file; None where it is none.

    Args:
        line: Without its newline; a byte order mark is skipped.
    """
    try:
        data = json.loads(line.removeprefix(b"\xef\xbb\xbf"), parse_float=_number)
        return asked(data["custom_id"], data["body"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def asked(custom_id: object, body: object) -> Asked | None:
    """Return what a request asks; None when its parts are of other types than they must be.

    Raises:
        ValueError: The custom_id is no text, or the body holds what JSON does not have.
    """
    if not isinstance(custom_id, str) or not is_mapping(body):
        return None
    custom_id.encode()  # half a surrogate pair is no text
    body = _plain(body)
    text = canonical_json(body)
    spoken = canonical_json({name: body[name] for name in _SPOKEN if name in body})
    model = body.get("model")
    return Asked(
        custom_id,
        text,
        _digest(text),
        _digest(spoken),
        model if isinstance(model, str) else None,
    )


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body in which what can be said in several ways is said in ours.

    Responses take a text for one message of the user, instructions beside it, and texts as parts.
    Vectors are the same in whatever form they come.
    """
    given, plain = body.get("input"), dict(body)
    plain.pop("encoding_format", None)
    if "instructions" in body and isinstance(body["instructions"], str | None):
        del plain["instructions"]
    first = [] if "instructions" in plain else _system(body.get("instructions"))
    if isinstance(given, str):
        plain["input"] = [*first, {"role": "user", "content": given}]
    elif is_list(given):
        plain["input"] = [*first, *map(_plain_item, given)]
    else:
        return dict(body)
    return plain


def _system(instructions: str | None) -> list[dict[str, str]]:
    return [{"role": "system", "content": instructions}] if instructions else []


def _plain_item(item: Any) -> Any:
    match item:
        case {"role": _, "type": "message", **rest} if "id" not in rest:
            return _plain_item({"role": item["role"], **rest})
        case {"role": role, "content": [{"type": "input_text", "text": text}], **rest} if not rest:
            return {"role": role, "content": text}
        case _:
            return item


def our_request(parts: tuple[bytes, bytes], spoken: bytes) -> Asked:
    """Return what a row of ours would ask.

    Args:
        parts: What `Wire.line_parts` returned for its contract.
        spoken: Its messages as `Wire.encode` returned them.
    """
    line = b'{"custom_id":"%b%b%b' % (parts[0], spoken, parts[1])
    found = read_line(line)
    assert found is not None  # noqa: S101 - we wrote it
    return found


def body_difference(ours: bytes, theirs: bytes) -> Difference:
    """Return the first place where two bodies differ, ours first."""
    return first_difference(json.loads(ours), json.loads(theirs), "body")


def same_model(told: str, wanted: str) -> bool:
    """Tell whether a provider's name of a model is the one that was asked for, or a dated one."""
    rest = told.removeprefix(wanted)
    return told == wanted or (rest != told and rest[:1] == "-" and rest[1:5].isdecimal())


def lineage_of(metadata: Mapping[str, str]) -> str | None:
    """Return whose state made a batch; None for one that was made by hand."""
    return metadata.get("lineage") if "batchspec" in metadata else None


def _number(text: str) -> Any:
    value = float(text)
    return int(value) if value.is_integer() else value


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
