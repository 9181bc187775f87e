"""Input files of an account, as they are listed and found again."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from worlds import Fault, Faults

from batchspec.providers.openai.client import OpenAIClient
from batchspec.simulator import AppTransport, SimulatedClock, create_app
from batchspec.state.remote import CallError, RemoteFile, Uncertain

START = 1_000_000.0


class Account:
    """A client, its server, and what goes wrong in between."""

    def __init__(self, folder: Path) -> None:
        self.clock = SimulatedClock(speed=0)
        self.app = create_app(folder / "server", clock=self.clock, background=False)
        self.wire = Faults(self.app)
        self.client = OpenAIClient(
            api_key="k", base_url="http://simulator/v1", transport=AppTransport(self.wire)
        )
        self.path = folder / "input.jsonl"
        line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}
        self.path.write_text(json.dumps(line) + "\n")

    def upload(self, name: str) -> str:
        return anyio.run(self.client.upload, self.path, name)

    def files(self, since: float = 0) -> list[RemoteFile]:
        async def read() -> list[RemoteFile]:
            return [file async for file in self.client.files(since)]

        return anyio.run(read)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    made = Account(tmp_path)
    with closing(made.app.state.engine):
        yield made


def test_files_come_newest_first_with_name_and_size(account: Account) -> None:
    old = account.upload("one.jsonl")
    account.clock.advance(100)
    new = account.upload("two.jsonl")
    size = account.path.stat().st_size
    found = account.files()
    assert [(f.id, f.name, f.bytes) for f in found] == [
        (new, "two.jsonl", size),
        (old, "one.jsonl", size),
    ]
    assert [f.id for f in account.files(found[0].created_at)] == [new]


def test_entries_without_sense_are_left_out(account: Account) -> None:
    account.upload("one.jsonl")

    def odd(body: bytes) -> bytes:
        page: dict[str, Any] = json.loads(body)
        page["data"] = [{"id": None}, {"id": "f", "bytes": "x", "created_at": []}, *page["data"]]
        return json.dumps(page).encode()

    account.wire.faults.append(Fault("GET", "/files", rewrite=odd))
    assert account.files()[-1].name == "one.jsonl"


def test_an_upload_is_sent_once(account: Account) -> None:
    """A second one would leave a file behind that nobody knows of."""
    account.wire.faults.append(
        Fault("POST", "/files", status=500, body={}, headers={"x-should-retry": "true"}, after=True)
    )
    with pytest.raises(Uncertain):
        account.upload("one.jsonl")
    assert account.wire.count("POST", "/files") == 1
    assert [f.name for f in account.files()] == ["one.jsonl"]


def test_a_list_that_is_not_offered_says_so(account: Account) -> None:
    account.wire.faults.append(Fault("GET", "/files", status=404, body={}))
    with pytest.raises(CallError):
        account.files()
