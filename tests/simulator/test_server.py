import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import openai
import pytest
from click.testing import CliRunner

from batchspec.cli.simulator import simulator

from .conftest import jsonl, request_line
from .receiver import Receiver

ROOT = Path(__file__).parents[2]
RUN = "from batchspec.cli.simulator import simulator; simulator()"
Started = tuple[subprocess.Popen[bytes], openai.OpenAI]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts server processes over one directory."""
    started: list[Started] = []

    def begin(*options: str, **variables: str) -> Started:
        command = [sys.executable, "-W", "error", "-c", RUN, "serve", "--port", "0", *options]
        command += ["--directory", str(tmp_path / "simulator")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
        assert process.stderr is not None
        told = process.stderr.readline().decode()
        assert told.startswith("listening on http://127.0.0.1:"), told
        url = told.split("; ")[0].removeprefix("listening on ")
        assert told.endswith(f"set OPENAI_BASE_URL={url} OPENAI_API_KEY=simulated\n")
        client = openai.OpenAI(base_url=url, api_key="simulated", max_retries=0)
        started.append((process, client))
        return process, client

    yield begin
    for process, client in started:
        client.close()
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_a_killed_server_process_finds_its_batches_again(
    serve: Callable[..., Started],
) -> None:
    process, client = serve("--pace", "0.05")
    names = [f"r{number}" for number in range(6_000)]
    content = jsonl(*map(request_line, names))
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while not (batch.request_counts and batch.request_counts.completed):
        batch = client.batches.retrieve(batch.id)
    process.kill()
    process.wait()

    process, client = serve("--pace", "0.05")
    while batch.status != "completed":
        batch = client.batches.retrieve(batch.id)
    assert batch.output_file_id
    results = client.files.content(batch.output_file_id).content
    found = Counter(line.split(b'"custom_id":"')[1].split(b'"')[0] for line in results.splitlines())
    assert found == Counter(name.encode() for name in names)

    process.send_signal(signal.SIGTERM)
    assert process.wait(10) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}


def test_a_killed_server_process_still_tells_that_a_batch_has_ended(
    serve: Callable[..., Started],
) -> None:
    secret, receiver = "whsec_c2VjcmV0", Receiver([500])
    options = ("--pace", "0", "--webhook", receiver.url)
    process, client = serve(*options, OPENAI_WEBHOOK_SECRET=secret)
    file = client.files.create(file=("in.jsonl", jsonl(request_line("a"))), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    first = receiver.get()
    process.kill()
    process.wait()

    _, client = serve(*options, OPENAI_WEBHOOK_SECRET=secret)
    httpx2.post(str(client.base_url.join("/admin/clock")), json={"advance": "1h"})
    second = receiver.get()
    assert first.id == second.id
    assert second.unwrap(secret).data.id == batch.id
    receiver.close()


def test_the_command_takes_answers_from_a_file(
    serve: Callable[..., Started], tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def answer(body):\n    return 'always this'\n")
    other = tmp_path / "other.py"
    other.write_text("def answer(body):\n    return 'never'\n")
    routes = ("--answers", f"gpt-*={other}:answer", "--answers", f"{path}:answer")
    _, client = serve(*routes, "--enqueued-token-limit", "1000")
    completion = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "hello"}]
    )
    assert completion.choices[0].message.content == "always this"
    chunks = client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "always this"


def test_the_command_refuses_what_gives_no_answers() -> None:
    result = CliRunner().invoke(simulator, ["serve", "--answers", "nowhere.jsonl"])
    assert result.exit_code == 2
    assert "--answers" in result.output
    result = CliRunner().invoke(simulator, ["serve", "--answers", "nowhere.txt"])
    assert "path/to/file.jsonl" in result.output
    result = CliRunner().invoke(simulator, ["serve", "--answers", "gpt-*=nowhere.py:answer"])
    assert "no file 'nowhere.py'" in result.output
