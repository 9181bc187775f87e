"""The server under test, spoken to in plain HTTP: a mistake must not be hidden by a library."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import httpx2
import pytest

from batchspec.conformance.bodies import DIALECTS, Dialect, Json, is_object
from batchspec.conformance.timeline import Timeline

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
_GONE = frozenset({200, 404})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is tested, and how.

    Attributes:
        base_url: Where the API is, with `/v1`.
        api_key: The key; None where the server asks for none.
        model: The model that is asked.
        endpoint: The endpoint that batches are made for.
        deadline: Seconds of the server's time in which a batch must end.
    """

    base_url: str
    api_key: str | None = field(repr=False)
    model: str
    endpoint: str
    deadline: float

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.endpoint]

    @property
    def key(self) -> str:
        """The key to send; most servers without keys take any."""
        return self.api_key or "none"


class Server:
    """Calls the server, remembers what it made there, and puts that away.

    Every method that is not called `request` fails the test when the answer is an error.
    """

    def __init__(self, target: Target, timeline: Timeline) -> None:
        self.target = target
        self.timeline = timeline
        self.seen: dict[str, list[Json]] = {}
        """Batches by id, in every state in which they were seen."""
        self._files: list[str] = []
        self._stuck: set[str] = set()
        headers = {"authorization": f"Bearer {target.key}"}
        self._http = httpx2.Client(headers=headers, timeout=60, follow_redirects=True)

    def request(self, method: str, path: str, **more: object) -> httpx2.Response:
        """Make a call, whatever is answered; `more` is what `httpx2` takes."""
        try:
            return self._http.request(method, self.target.base_url + path, **more)  # type: ignore[arg-type]
        except httpx2.HTTPError as error:
            pytest.fail(f"{method} {path} was not answered: {error!r}", pytrace=False)

    def get(self, path: str, **parameters: str | int) -> Json:
        return accepted(self.request("GET", path, params=parameters))

    # --- files

    def send(
        self, content: bytes, name: str = "conformance.jsonl", **fields: str
    ) -> httpx2.Response:
        """Upload a file, whatever is answered; fields that are empty are left out."""
        form = {"purpose": "batch", **fields}
        response = self.request(
            "POST",
            "/files",
            data={field: value for field, value in form.items() if value},
            files={"file": (name, content, "application/octet-stream")},
        )
        if response.status_code == 200 and isinstance(file_id := _json(response).get("id"), str):
            self.note_file(file_id)
        return response

    def upload(self, content: bytes, name: str = "conformance.jsonl", **fields: str) -> Json:
        """Upload a file and return what it is called there."""
        file = accepted(self.send(content, name, **fields))
        if not isinstance(file.get("id"), str):
            pytest.fail(f"The answer to an upload has no id: {file}", pytrace=False)
        return file

    def note_file(self, file_id: str) -> None:
        """Remember a file, to put away."""
        self._files.append(file_id)

    def content(self, file_id: str) -> bytes:
        return _accepted(self.request("GET", f"/files/{file_id}/content")).content

    # --- batches

    def propose(self, file_id: str, **changes: object) -> httpx2.Response:
        """Ask for a batch, whatever is answered; a change to None leaves a field out."""
        fields = {
            "input_file_id": file_id,
            "endpoint": self.target.endpoint,
            "completion_window": "24h",
            **changes,
        }
        body = {name: value for name, value in fields.items() if value is not None}
        response = self.request("POST", "/batches", json=body)
        if response.status_code == 200:
            self.note(_json(response))
        return response

    def submit(self, lines: Sequence[Json | bytes], **changes: object) -> Json:
        """Upload lines and make a batch of them."""
        file = self.upload(encoded(lines))
        return accepted(self.propose(file["id"], **changes))

    def batch(self, batch_id: str) -> Json:
        """Look at a batch."""
        return self.note(self.get(f"/batches/{batch_id}"))

    def ended(self, batch_id: str) -> Json:
        """Wait for the end of a batch."""
        waited, pause = 0.0, _FIRST_PAUSE
        while (batch := self.batch(batch_id)).get("status") not in ENDED:
            if waited >= self.target.deadline or batch_id in self._stuck:
                self._stuck.add(batch_id)
                pytest.fail(
                    f"Batch {batch_id} is {batch.get('status')!r} after {self.target.deadline:g} s;"
                    " a larger --deadline waits longer.",
                    pytrace=False,
                )
            self.timeline.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)
        return batch

    def results(self, batch: Json) -> "Results":
        """Read both result files of a batch that ended."""
        found = {name: self._lines(batch.get(f"{name}_file_id")) for name in ("output", "error")}
        return Results(found["output"], found["error"])

    def _lines(self, file_id: object) -> list[Json]:
        if not isinstance(file_id, str) or not file_id:
            return []
        return [read_line(line) for line in self.content(file_id).split(b"\n") if line.strip()]

    def note(self, batch: Json) -> Json:
        """Remember a batch, to put away with its files."""
        self.seen.setdefault(str(batch.get("id")), []).append(batch)
        return batch

    # --- putting away

    def close(self) -> list[str]:
        """Cancel what runs, delete every file, and tell what could not be deleted."""
        for batch_id, states in self.seen.items():
            if states[-1].get("status") not in ENDED:
                self._quietly("POST", f"/batches/{batch_id}/cancel")
            for name in ("input_file_id", "output_file_id", "error_file_id"):
                self._files += [str(states[-1][name])] if states[-1].get(name) else []
        files = dict.fromkeys(self._files)
        left = [f for f in files if self._quietly("DELETE", f"/files/{f}") not in _GONE]
        self._http.close()
        return left

    def _quietly(self, method: str, path: str) -> int:
        try:
            return self._http.request(method, self.target.base_url + path).status_code
        except httpx2.HTTPError:
            return 0


@dataclass(frozen=True, slots=True)
class Results:
    """The lines of both result files."""

    output: list[Json]
    error: list[Json]

    @property
    def all(self) -> list[Json]:
        return self.output + self.error

    def line(self, custom_id: str) -> Json:
        """Return the line of a request."""
        found = [line for line in self.all if line.get("custom_id") == custom_id]
        if len(found) != 1:
            pytest.fail(f"There are {len(found)} result lines for {custom_id!r}.", pytrace=False)
        return found[0]

    def body(self, custom_id: str) -> Json:
        """Return what a request was answered, as the endpoint itself would have."""
        response = self.line(custom_id).get("response")
        body = response.get("body") if is_object(response) else None
        if not is_object(body):
            pytest.fail(f"The line of {custom_id!r} has no body that is an object.", pytrace=False)
        return body


def accepted(response: httpx2.Response) -> Json:
    """Return the JSON object of an answer that must not be an error."""
    body = _json(_accepted(response))
    if not body:
        pytest.fail(f"{_call(response)} answered no JSON object: {_short(response)}", pytrace=False)
    return body


def refused(response: httpx2.Response, status: int) -> Json:
    """Return the `error` of an answer that must be one."""
    if response.status_code != status:
        _wrong(response, f"not {status}")
    error = _json(response).get("error")
    if not is_object(error):
        _wrong(response, "without an `error` object")
    return error


def encoded(lines: Iterable[Json | bytes]) -> bytes:
    """Return an input file."""
    parts = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return b"".join(part + b"\n" for part in parts)


def read_line(line: bytes) -> Json:
    """Return a result line."""
    try:
        value = json.loads(line.decode())
    except ValueError as error:
        pytest.fail(f"A result line is no JSON ({error}): {line[:80]!r}", pytrace=False)
    if not is_object(value):
        pytest.fail(f"A result line is no JSON object: {line[:80]!r}", pytrace=False)
    return value


def missing(value: Mapping[str, object], keys: Iterable[str]) -> list[str]:
    """Return the keys that are not there, not even with null."""
    return [key for key in keys if key not in value]


def _accepted(response: httpx2.Response) -> httpx2.Response:
    if response.status_code != 200:
        _wrong(response, "not 200")
    return response


def _wrong(response: httpx2.Response, how: str) -> NoReturn:
    answer = f"{response.status_code}, {how}: {_short(response)}"
    pytest.fail(f"{_call(response)} answered {answer}", pytrace=False)


def _call(response: httpx2.Response) -> str:
    return f"{response.request.method} {response.request.url.raw_path.decode()}"


def _short(response: httpx2.Response) -> str:
    return response.text[:120].replace("\n", " ")


def _json(response: httpx2.Response) -> Json:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if is_object(value) else {}
