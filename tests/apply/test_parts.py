"""Images and documents on their way to the provider, on both endpoints."""

import json
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from batchspec.cli.views.checks import show_request
from batchspec.desired.expand import Expander, in_chunks
from batchspec.errors import SpecError
from batchspec.load.rows import read_rows
from batchspec.state.events import Event, InputUploaded
from batchspec.state.tokens import prompt_tokens

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
PDF = b"%PDF-1.7\n" + b"pages" * 50
SPEC = """
def look(row):
    return ["Describe:", Image(row["path"], detail="low"), Document("letter.pdf")]

j = Job(model={model!r}, rows=rows.files("img/*.png", text=False), prompt=look, key="name")
"""
MODELS = ["openai:gpt-5-mini", "openai-responses:gpt-5-mini"]


def pictures(world: World, *names: str) -> Path:
    folder = world.root / "img"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.png").write_bytes(PNG + name.encode())
    (world.root / "letter.pdf").write_bytes(PDF)
    return folder


def spec(world: World, model: str = MODELS[0]) -> None:
    world.spec(SPEC.replace(', key="name"', "").format(model=model))


@pytest.mark.parametrize("model", MODELS)
def test_files_are_sent_and_a_changed_one_is_sent_again(world: World, model: str) -> None:
    folder = pictures(world, "a", "b")
    spec(world, model)
    seen: list[Any] = []
    world.model = lambda body: seen.append(body) or "A dog."
    world.apply()
    assert world.texts() == {"img/a.png": "A dog.", "img/b.png": "A dog."}
    messages = seen[0].get("messages") or seen[0]["input"]
    kinds = [part["type"] for part in messages[-1]["content"]]
    assert kinds in (["text", "image_url", "file"], ["input_text", "input_image", "input_file"])
    assert world.apply().exit_code == 0
    assert world.created == 1, "the same files are the same requests"
    (folder / "b.png").write_bytes(PNG + b"another")
    with world.open() as project:
        (job,) = project.plan().jobs
        (reason,) = job.reasons
        assert (reason.code, reason.rows, reason.example_key) == ("PROMPT_CHANGED", 1, "img/b.png")
        assert reason.difference is not None
        assert reason.difference.path == "messages[0].content[1].image_url.url"
        assert len(reason.difference.before + reason.difference.after) < 200
    world.apply()
    assert world.created == 2
    assert world.lines == 3


@pytest.mark.parametrize("model", MODELS)
def test_sizes_are_those_of_the_lines(world: World, model: str) -> None:
    """What is packed is what is written, though one endpoint says it in longer words."""
    pictures(world, *"abcdef")
    spec(world, model)
    world.model = lambda body: "x"
    database, sizes = world.server.app.state.engine.database, list[int]()

    def look(event: Event) -> None:
        if isinstance(event, InputUploaded):
            sizes.append(database.file(event.file, world.clock.now()).bytes)

    world.hook.react = look
    world.apply()
    with world.open() as project, project.reader() as reader:
        (batch,) = reader.batches()
    # A custom_id has room for five digits of a turn.
    assert sizes == [batch.bytes - 6 * 4]


def test_rows_whose_files_are_not_right_are_told_together(world: World) -> None:
    folder = pictures(world, "a", "b", "c")
    (folder / "b.png").write_text("words")
    (folder / "c.png").write_bytes(PNG)
    spec(world)
    with world.open() as project, pytest.raises(SpecError) as caught:
        project.plan()
    (found,) = caught.value.diagnostics
    assert "Row 'img/b.png': Image 'img/b.png' (5 bytes, begins with b'words')" in found.detail
    (world.root / "letter.pdf").unlink()
    with world.open() as project, pytest.raises(SpecError) as caught:
        project.plan()
    assert len(caught.value.diagnostics) == 3
    assert "'letter.pdf' cannot be read: No such file" in caught.value.diagnostics[0].detail


def test_a_request_that_no_input_file_holds_is_told(world: World) -> None:
    folder = pictures(world, "a")
    (folder / "a.png").write_bytes(PNG * 50)
    own = world.settings.providers["openai"]
    limits = own.limits.model_copy(update={"max_bytes": 100_000})
    providers = {**world.settings.providers, "openai": own.model_copy(update={"limits": limits})}
    world.settings = world.settings.model_copy(update={"providers": providers})
    spec(world)
    with world.open() as project, pytest.raises(SpecError) as caught:
        project.plan()
    (found,) = caught.value.diagnostics
    assert found.summary == "request is larger than a batch may be"
    assert "Row 'img/a.png' makes a request of 13" in found.detail


def test_rendering_shows_a_request_without_its_data(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    pictures(world, "a")
    spec(world)
    with world.open() as project:
        rendered = project.render("m.j")
    show_request(rendered)
    short = capfd.readouterr()
    show_request(rendered, whole=True)
    assert json.loads(capfd.readouterr().out) == rendered.request
    assert len(short.out) < 1500
    assert "The data of its files is left out; --json prints it too." in short.err
    parts = json.loads(short.out)["body"]["messages"][0]["content"]
    assert parts[0] == {"type": "text", "text": "Describe:"}


def test_few_large_requests_are_in_memory_at_a_time(world: World) -> None:
    pictures(world, *"abcdef")
    spec(world)
    with world.open() as project:
        (job,) = project.desired.jobs
        rows = Expander(job).expand(read_rows(job.rows, world.root))  # type: ignore[arg-type]
        assert [len(chunk) for chunk in in_chunks(rows, size=6000)] == [2, 2, 2]
        rows = Expander(job).expand(read_rows(job.rows, world.root))  # type: ignore[arg-type]
        assert [len(chunk) for chunk in in_chunks(rows, most=4)] == [4, 2]


@pytest.mark.parametrize("model", MODELS)
def test_files_count_by_what_they_are_and_not_by_their_size(world: World, model: str) -> None:
    """An image counts as 1,000 tokens and a page of a PDF as 1,500, in estimates and in queues."""
    folder = pictures(world, *"abcd")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes() * 100)
    own = world.settings.providers[model.partition(":")[0]]
    cap = {"*": 6_000}
    limits = own.limits.model_copy(update={"max_enqueued_tokens": cap})
    own = own.model_copy(update={"limits": limits})
    providers = {**world.settings.providers, model.partition(":")[0]: own}
    world.settings = world.settings.model_copy(update={"providers": providers})
    spec(world, model)
    world.model = lambda body: "x"
    with world.open() as project:
        (job,) = project.plan().jobs
    assert 4 * 2_500 < job.estimate.input_tokens < 4 * 2_700, "not the 70,000 of 4 bytes a token"
    assert world.apply().exit_code == 0
    with world.open() as project, project.reader() as reader:
        batches = reader.batches()
    assert [batch.members for batch in batches] == [2, 2], "as many as the queue takes"
    assert all(prompt_tokens(b.members, b.bytes - b.data) <= 6_000 < b.bytes / 4 for b in batches)


def test_an_image_by_url_counts_though_it_is_short(world: World) -> None:
    world.spec(
        "j = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]), "
        "prompt=lambda row: [Image('https://example.com/a.png')])"
    )
    with world.open() as project:
        (job,) = project.plan().jobs
    assert 1_000 < job.estimate.input_tokens < 1_100
