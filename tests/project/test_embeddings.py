"""Embedding jobs through the real path: planned, sent, judged, kept, and sent anew."""

import json
from decimal import Decimal
from typing import Any

import pytest
from worlds import Fault, World

from batchspec.errors import RefusedError, SpecError
from batchspec.plan.changes import Kind, Plan


def vectors(size: int = 3) -> Any:
    """Return a model that answers with a vector that says which text it is of."""
    return lambda body: [[float(len(body["input"])), *[0.5] * (size - 1)]]


def embedding(world: World, *keys: str, variable: str = "j", **more: str) -> None:
    """Write a module with one embedding job whose rows are `{"id": key}`; `more` is source text."""
    data = [{"id": key} for key in keys]
    given = {"model": "'openai:text-embedding-3-small'", "input": "'say {id}'", "dimensions": "3"}
    arguments = ", ".join(f"{name}={value}" for name, value in {**given, **more}.items())
    world.spec(f"{variable} = EmbeddingJob(rows=rows.inline({data!r}), {arguments})")


def told(plan: Plan) -> list[tuple[str, str | None]]:
    """Return why rows of the first job change, and where."""
    reasons = plan.jobs[0].reasons
    return [(r.code, r.difference and r.difference.path) for r in reasons]


@pytest.fixture
def world(world: World) -> World:
    world.model = vectors()
    return world


def test_a_vector_for_each_row_is_paid_once(world: World) -> None:
    embedding(world, "a", "bcd")
    plan = world.plan()
    (job,) = plan.jobs
    assert (job.requests, job.max_turns, job.estimate.output_tokens) == (2, 1, 0)
    assert not job.estimate.output_assumed
    assert job.estimate.cost is not None
    assert Decimal(0) < job.estimate.cost == job.estimate.cost_at_most
    assert world.apply().done
    items = world.items()
    assert {key: item.output for key, item in items.items()} == {
        "a": [5.0, 0.5, 0.5],
        "bcd": [7.0, 0.5, 0.5],
    }
    for item in items.values():
        assert (item.outcome, item.turns, item.usage.output_tokens) == ("succeeded", 1, 0)
        assert item.cost == Decimal("1e-8") * item.usage.input_tokens
    (batch,) = world.remote()
    assert batch["endpoint"] == "/v1/embeddings"
    assert world.plan().counts == {Kind.KEEP: 2}
    assert world.apply().done
    assert world.created == 1


def test_a_change_of_the_request_is_told_by_its_name(world: World) -> None:
    embedding(world, "a", "b")
    world.apply()
    embedding(world, "a", "b", input="'tell {id}'")
    assert told(world.plan()) == [("PROMPT_CHANGED", "input")]
    embedding(world, "a", "b", input="lambda row: [1, 2]")
    assert told(world.plan()) == [("PROMPT_CHANGED", "input")]
    embedding(world, "a", "b", dimensions="2")
    assert told(world.plan()) == [("SETTINGS_CHANGED", "settings.dimensions")]
    embedding(world, "a", "b", model="'openai:text-embedding-3-large'")
    assert told(world.plan()) == [("MODEL_CHANGED", "model")]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("input", {"input": "'tell {id}'"}),
        ("model", {"model": "'openai:text-embedding-3-large'"}),
        ("settings", {"dimensions": "2"}),
    ],
)
def test_a_part_that_is_ignored_sends_nothing_again(
    world: World, part: str, change: dict[str, str]
) -> None:
    embedding(world, "a")
    world.apply()
    other = ["input", "model", "settings"]
    other.remove(part)
    embedding(world, "a", **change, ignore_changes=repr(other))
    assert world.plan().counts == {Kind.RESUBMIT: 1}
    embedding(world, "a", **change, ignore_changes=repr([part]))
    assert world.plan().counts == {Kind.KEEP: 1}


def test_token_ids_are_an_input(world: World) -> None:
    embedding(world, "a", input="lambda row: [5, 6, 7, 8]")
    assert world.apply().done
    assert world.items()["a"].output == [4.0, 0.5, 0.5]
    assert world.items()["a"].usage.input_tokens == 4


def test_a_vector_of_another_length_fails_its_item_alone(world: World) -> None:
    """It came and was paid for; asked again it would be the same."""
    world.model = lambda body: [[1.0] * (2 if "bad" in body["input"] else 3)]
    embedding(world, "good", "bad")
    world.apply()
    items = world.items()
    assert world.outcomes() == {"good": "succeeded", "bad": "failed"}
    assert items["bad"].reason == (
        "The output was not accepted: The vector has 2 components; 3 were asked for."
    )
    assert items["bad"].output is None
    assert items["bad"].cost
    assert world.lines == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.update(data=[]),
        lambda body: body["data"][0].update(index=7),
        lambda body: body["data"][0].update(embedding="no base64"),
        lambda body: body["data"][0].pop("embedding"),
        lambda body: body["data"].append(body["data"][0]),
    ],
    ids=["none", "of another input", "no base64", "no vector", "two"],
)
def test_an_answer_that_is_none_is_asked_for_again(world: World, spoil: Any) -> None:
    def rewrite(content: bytes) -> bytes:
        lines = [json.loads(line) for line in content.splitlines()]
        spoil(lines[0]["response"]["body"])
        return b"\n".join(json.dumps(line).encode() for line in lines)

    world.wire.faults.append(Fault("GET", "/files/.*/content", rewrite=rewrite))
    embedding(world, "a", "bc")
    assert world.apply().done
    assert world.outcomes() == {"a": "succeeded", "bc": "succeeded"}
    assert world.created == 2


def test_what_a_server_sends_in_floats_is_kept_like_the_rest(world: World) -> None:
    embedding(world, "a", settings="{'encoding_format': 'float'}")
    assert world.apply().done
    assert world.items()["a"].output == [5.0, 0.5, 0.5]


def test_vectors_stay_readable_without_their_spec(world: World) -> None:
    embedding(world, "a")
    world.apply()
    world.remove("m")
    assert world.items()["a"].output == [5.0, 0.5, 0.5]


def test_an_old_vector_stays_until_the_new_one_is_in(world: World) -> None:
    embedding(world, "a")
    world.apply()
    embedding(world, "a", input="'tell {id}'")
    world.apply(detach=True)
    item = world.items()["a"]
    assert (item.previous, item.output) == (True, [5.0, 0.5, 0.5])
    world.apply()
    assert world.items()["a"].output == [6.0, 0.5, 0.5]


def test_vectors_can_be_rows_of_another_job(world: World) -> None:
    world.spec(
        """
        j = EmbeddingJob(model='openai:text-embedding-3-small', dimensions=3, input='{text}',
                         rows=rows.inline([{'id': 'a', 'text': 'x'}, {'id': 'b', 'text': 'yy'}]))
        far = Job(model='openai:gpt-5-mini', rows=rows.outputs_of(j), prompt='{key} {output[0]}')
        """
    )
    ask = vectors()
    world.model = lambda body: (
        ask(body) if "input" in body else body["messages"][-1]["content"].upper()
    )
    assert world.apply().done
    assert world.texts("m.far") == {"a": "A 1.0", "b": "B 2.0"}


def test_answers_of_a_job_can_be_embedded(world: World) -> None:
    world.spec(
        """
        up = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]), prompt='say {id}')
        j = EmbeddingJob(model='openai:text-embedding-3-small', rows=rows.outputs_of(up),
                         input='{output}')
        """
    )
    ask = vectors()
    world.model = lambda body: ask(body) if "input" in body else "four"
    assert world.apply().done
    assert world.items()["a"].output == [4.0, 0.5, 0.5]


def test_a_job_and_an_embedding_job_of_one_provider_have_lanes_of_their_own(world: World) -> None:
    world.spec(
        """
        j = EmbeddingJob(model='openai:m', rows=rows.inline([{'id': 'a'}]), input='say {id}')
        k = Job(model='openai:m', rows=rows.inline([{'id': 'a'}]), prompt='say {id}')
        """
    )
    ask = vectors()
    world.model = lambda body: ask(body) if "input" in body else "said"
    assert world.apply().done
    endpoints = {batch["endpoint"] for batch in world.remote()}
    assert endpoints == {"/v1/embeddings", "/v1/chat/completions"}


def test_what_cannot_be_embedded_is_told_before_anything_is_sent(world: World) -> None:
    world.spec(
        """
        data = [{'id': 'a', 'text': 'x'}, {'id': 'b', 'text': ''}]
        j = EmbeddingJob(model='openai:text-embedding-3-small', rows=rows.inline(data),
                         input='{text}')
        """
    )
    with pytest.raises(SpecError) as caught:
        world.plan()
    (problem,) = caught.value.diagnostics
    assert problem.detail.startswith("Row 'b' (row 2): The input came out empty")
    embedding(world, "a", input="'say {text}'")
    with pytest.raises(SpecError) as caught:
        world.plan()
    (problem,) = caught.value.diagnostics
    assert problem.detail.startswith("In `input`: {text} names a field the rows do not have.")


def test_a_chat_model_is_a_warning_and_the_providers_words_are_kept(world: World) -> None:
    embedding(world, "a", model="'openai:gpt-5-mini'")
    with world.open() as project:
        (warning,) = project.load().warnings
    assert (warning.summary, warning.address) == ("model answers with text", "m.j")
    assert warning.severity == "warning"


def test_a_budget_counts_what_goes_in(world: World) -> None:
    embedding(world, *map(str, range(50)), max_cost="0.0000001")
    with pytest.raises(RefusedError, match="may cost"):
        world.apply()
    embedding(world, *map(str, range(50)), max_cost="0.001")
    assert world.apply().done


def test_a_tainted_vector_is_asked_for_anew(world: World) -> None:
    embedding(world, "a")
    world.apply()
    with world.open() as project:
        project.taint("m.j")
    world.model = vectors(3)
    assert world.plan().counts == {Kind.RESUBMIT: 1}
    assert world.apply().done
    assert world.created == 2


def test_two_names_of_one_job_are_noticed(world: World) -> None:
    world.spec(
        """
        j = EmbeddingJob(model='openai:m', rows=rows.inline([{'id': 'a'}]), input='{id}')
        j = EmbeddingJob(model='openai:m', rows=rows.inline([{'id': 'b'}]), input='{id}')
        """
    )
    with pytest.raises(SpecError, match="declared twice"):
        world.plan()
