"""From rows to requests: validate, render, encode and hash, one row at a time.

A job may have ten million rows, so everything that is the same for all of them happens once, in
`Expander.__init__`; what is left costs a few microseconds a row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from batchspec.desired.graph import DesiredJob
from batchspec.desired.render import encoder, renderer
from batchspec.errors import Diagnostic, Source
from batchspec.fingerprint import Fingerprinter
from batchspec.ids import Fingerprint, member
from batchspec.redaction import raised, redacted
from batchspec.spec.origin import raise_site
from batchspec.spec.prompt import PromptInvalid

_CHUNK_BYTES = 32 * 2**20
"""Of requests that are held at a time; images and documents are in them."""


class SourceRow(NamedTuple):
    """A row as read; its values are JSON values.

    `line` counts from 1: the line in `file`, or the row's number where there is no file.
    """

    key: str
    data: dict[str, Any]
    line: int | None = None
    file: str | None = None


class DesiredRow(NamedTuple):
    """A row as request: its identity, the row as compact JSON, its messages as canonical JSON."""

    key: str
    fingerprint: Fingerprint
    row_json: bytes
    messages_json: bytes
    line: int | None = None


class Expander:
    """Turns the rows of one job into requests."""

    def __init__(self, desired: DesiredJob) -> None:
        row_type = desired.job.row_type
        self._desired = desired
        self._fingerprint = Fingerprinter(desired.contract.canonical())
        self._scoped = sees_rows(desired)
        told, endpoint = desired.output.instructions, desired.contract.endpoint
        given = (desired.job, told, desired.root, endpoint, desired.attached)
        self._encode, self._render = encoder(*given), renderer(*given)
        self._validate: Callable[[Any], Any] | None = (
            None if row_type is None else row_type.__pydantic_validator__.validate_python
        )

    def expand(self, rows: Iterable[SourceRow | Diagnostic]) -> Iterator[DesiredRow | Diagnostic]:
        """Yield a request, or what is wrong, for every row; diagnostics among them pass through."""
        validate, encode, fingerprint = self._validate, self._encode, self._fingerprint
        scoped, sample = self._scoped, member(self._desired.address).sample - 1
        for row in rows:
            if isinstance(row, Diagnostic):
                yield self._own(row)
                continue
            key, data, line, _ = row
            try:
                messages = encode(validate(data) if validate else data)
                row_json = to_json(data)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything
                yield self._diagnose(row, error)
            else:
                identity = fingerprint(messages, sample, key if scoped else None)
                yield DesiredRow(key, identity, row_json, messages, line)

    def render_messages(self, row: Mapping[str, Any]) -> Any:
        """Return the messages of one row, or its input, for people to read.

        Raises:
            PromptInvalid: The row does not fit the template.
            ValidationError: The row does not fit `row_type`.
            Exception: Whatever a prompt function raises.
        """
        return self._render(self.view(row))

    def view(self, row: Mapping[str, Any]) -> Any:
        """Return a row as prompt functions and `grade` get it: the `row_type`, or the dict."""
        return self._validate(row) if self._validate else row

    def _own(self, found: Diagnostic) -> Diagnostic:
        if found.address:
            return found
        source = found.source or self._desired.source
        return replace(found, address=self._desired.address, source=source)

    def _diagnose(self, row: SourceRow, error: BaseException) -> Diagnostic:
        summary, detail = self._explain(error)
        number = f" (row {row.line})" if row.file is None and row.line else ""
        return Diagnostic(
            summary=summary,
            detail=f"Row {row.key!r}{number}: {detail}",
            source=Source(row.file, row.line) if row.file else self._desired.source,
            address=self._desired.address,
        )

    def _explain(self, error: BaseException) -> tuple[str, str]:
        kind = type(error)  # what it says of its class is users' code
        if issubclass(kind, PromptInvalid):
            return "prompt cannot be rendered", str(error)
        if issubclass(kind, PydanticSerializationError):
            return "row is not JSON", f"{error}."
        site = raise_site(error)
        if issubclass(kind, ValidationError) and site is None:
            return "row does not fit its row_type", _validation(cast("ValidationError", error))
        at = f" ({self._short(site)})" if site else ""
        return "prompt function failed", f"{raised(error).rstrip('.')}{at}."

    def _short(self, site: Source) -> Source:
        return Source(site.file.removeprefix(self._desired.root), site.line)


def in_chunks(
    rows: Iterable[DesiredRow | Diagnostic], most: int = 1000, size: int = _CHUNK_BYTES
) -> Iterator[list[DesiredRow | Diagnostic]]:
    """Yield rows in lists that fit into memory, however large one request is.

    Args:
        rows: Of one job.
        most: Rows of a list.
        size: Bytes of its messages, more or less.
    """
    chunk: list[DesiredRow | Diagnostic] = []
    room = size
    for row in rows:
        chunk.append(row)
        if not isinstance(row, Diagnostic):
            room -= len(row.messages_json)
        if room <= 0 or len(chunk) >= most:
            yield chunk
            chunk, room = [], size
    if chunk:
        yield chunk


def sees_rows(desired: DesiredJob) -> bool:
    """Tell whether code that runs here may see the row; then equal requests are not shared."""
    return desired.checks_ask or any(tool.takes_context for tool in desired.tools.values())


def _validation(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False)
    told = "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'row'}: {redacted(detail['msg'])}"
        f" (got {detail['input']!r:.80})"
        for detail in details[:5]
    )
    more = f"; and {len(details) - 5} more" if len(details) > 5 else ""
    return f"{told}{more}."
