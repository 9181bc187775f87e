"""The saved plan as lines of JSON: what a person agreed to, and nothing that could not be shown.

The first line is the header, then there is a line for each row that changes or is forgotten, and at
last one with their number and the SHA-256 of all lines before it. Requests are named by their
fingerprints; neither prompts nor data of rows but their keys are in the file.

Everything read is checked: a file is data from outside.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, cast

from pydantic import Field, TypeAdapter, ValidationError

from batchspec.errors import PlanFileError
from batchspec.ids import Fingerprint, JobAddress, RowKey
from batchspec.plan.changes import JobPlan, Kind, Plan, Reason
from batchspec.spec.shapes import is_list, is_mapping

MARK = b'{"batchspec_plan":'
"""What the first line begins with, whatever the version."""
FORMAT_VERSION = 1
Count = Annotated[int, Field(ge=0)]
Money = Annotated[Decimal, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
_KINDS = {
    kind.value: kind
    for kind in (Kind.SUBMIT, Kind.RESUBMIT, Kind.CONTINUE, Kind.REUSE, Kind.UPDATE)
}
_FORGET = Kind.FORGET.value
_ANEW = "anew"
DONE = frozenset(_KINDS.values())
"""What can happen to a row only where a saved plan says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars per million tokens at batch price, of a short request."""

    input: Money
    output: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedJob:
    """One job as it was when the plan was made; it is left alone where it is another by now."""

    address: JobAddress
    removed: bool = False
    """It was gone from the specs: its items, which are listed, are forgotten."""
    waits: bool = False
    """Its rows were not known, so that every row is agreed to, within the cost."""
    contract: Digest = ""
    """SHA-256 of all of a request but its messages."""
    policy: Digest = ""
    """SHA-256 of what runs on this machine."""
    protect: bool = False
    requests: Count = 0
    bytes: Count = 0
    most: Count | None = None
    """Bytes at most, where prompts are made of answers that were not there yet."""
    further: tuple[tuple[Count, Count, Count, Count], ...] = ()
    """(turns at most, requests, bytes, bytes at most) of what goes on from turns that were paid."""
    at_most: Money | None = None
    """US dollars with every further turn; None: the price was not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a saved plan says of itself and of its jobs."""

    batchspec_plan: Literal[1]
    batchspec: str
    """The version that made it."""
    created: Annotated[float, Field(ge=0, le=1e11)]
    """Unix seconds."""
    plan: Plan
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    allow_empty: bool = False
    """Whether a job of which no row is left forgets its items."""
    jobs: tuple[AgreedJob, ...] = ()
    prices: Mapping[str, Price | None] = Field(default_factory=dict)
    """By `provider:model`; None: not known."""
    assumed: Count = 256
    """Output tokens a reply was estimated at where a job sets no bound."""
    longest: Count = 4096
    """Output tokens a reply was bounded by where a job sets no bound."""
    ceiling: Money | None = None
    """US dollars; what is applied never costs more. None: some price was not known."""


class Entry(NamedTuple):
    """One row of the plan; a row that is forgotten has no request."""

    job: JobAddress
    kind: Kind
    key: RowKey
    fingerprint: Fingerprint | None
    anew: bool = False
    """Whether a person wants it answered again from the first turn on, whatever there is."""


@cache
def _adapter() -> TypeAdapter[Header]:
    """Made when it is needed first, which in most runs is never."""
    return TypeAdapter(Header)


def header_line(header: Header) -> bytes:
    """Return the first line, without its end."""
    line = _adapter().dump_json(header)
    assert line.startswith(MARK)  # noqa: S101 - the field is the first one
    return line


def parse_header(line: bytes) -> Header:
    """Return what the first line says.

    Raises:
        PlanFileError: It is none, or of another version.
    """
    try:
        version = json.loads(line)["batchspec_plan"]
        if version != FORMAT_VERSION:
            raise PlanFileError(
                f"It has format version {version!r}, and this batchspec reads {FORMAT_VERSION}. "
                "Make the plan again."
            )
        return _adapter().validate_json(line)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise PlanFileError(f"Its header is not right ({where}).") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PlanFileError("Its header cannot be read.") from None


def entry_line(entry: Entry) -> bytes:
    """Return the line of a row, without its end."""
    said = [entry.job, entry.kind.value, entry.key]
    if entry.fingerprint is not None:
        said.append(entry.fingerprint.hex())
    if entry.anew:
        said.append(_ANEW)
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def parse_entry(line: bytes) -> Entry | tuple[int, str]:
    """Return a row, or what the last line says: the number of rows and their SHA-256.

    Raises:
        PlanFileError: It is neither.
    """
    try:
        said = cast(object, json.loads(line))
    except (ValueError, RecursionError):
        said = None
    if is_mapping(said):
        return _ending(said)
    if _texts(said) and len(said) == 3 and said[1] == _FORGET:
        return Entry(JobAddress(said[0]), Kind.FORGET, RowKey(said[2]), None)
    if (
        _texts(said)
        and len(said) > 3
        and said[4:] in ([], [_ANEW])
        and said[1] in _KINDS
        and len(said[3]) == 64
    ):
        try:
            fingerprint = Fingerprint(bytes.fromhex(said[3]))
        except ValueError:
            pass
        else:
            return Entry(
                JobAddress(said[0]), _KINDS[said[1]], RowKey(said[2]), fingerprint, len(said) == 5
            )
    raise PlanFileError("A line of it is no row of a plan.")


def _texts(said: object) -> TypeGuard[list[str]]:
    return is_list(said) and all(isinstance(part, str) for part in said)


def ending_line(rows: int, sha256: str) -> bytes:
    """Return the last line, without its end."""
    return json.dumps({"rows": rows, "sha256": sha256}).encode()


def _ending(said: Mapping[Any, Any]) -> tuple[int, str]:
    rows, sha256 = said.get("rows"), said.get("sha256")
    if isinstance(rows, int) and isinstance(sha256, str):
        return rows, sha256
    raise PlanFileError("Its last line is not right.")


def showable(plan: Plan) -> Plan:
    """Return a plan without the excerpts of prompts that explain its changes."""
    return replace(plan, jobs=tuple(_showable(job) for job in plan.jobs))


def _showable(job: JobPlan) -> JobPlan:
    return replace(job, reasons=tuple(_without_prompt(reason) for reason in job.reasons))


def _without_prompt(reason: Reason) -> Reason:
    difference = reason.difference
    if difference is None or not difference.path.startswith("messages"):
        return reason
    return replace(reason, difference=None)
