"""Few requests wait for more, and never for ever: `min_requests` and `lone_request`."""

from typing import Any

import pytest
from worlds import Fault, World

from batchspec.config import Limits, OpenAISettings
from batchspec.errors import ExitCode
from batchspec.messages import Usage
from batchspec.state.events import BatchIntended, RequestsDeclined

from .test_admission import limit


def intended(world: World) -> list[tuple[int, str]]:
    return [(e.members, e.via) for e in world.hook.events if isinstance(e, BatchIntended)]


def priced(usage: Usage) -> float:
    """Return the price of a batch: one dollar a million tokens in, two a million out."""
    return (usage.input_tokens + 2 * usage.output_tokens) / 1_000_000


def test_a_lone_request_is_sent_when_no_more_can_come(world: World) -> None:
    """And the plan says so."""
    limit(world, min_requests=5)
    world.job("a")
    (note,) = world.plan().notes
    assert note.startswith("1 request of openai:gpt-5-mini waits for more")
    assert "is sent as a batch all the same (lone_request = 'batch')" in note
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(1, "batch")]


def test_rows_of_all_jobs_count_together(world: World) -> None:
    limit(world, min_requests=4, lone_request="error")
    world.job("a", "b", name="one")
    world.job("c", "d", name="two")
    assert world.plan().notes == ()
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(4, "batch")]


def test_a_rest_is_not_left_alone(world: World) -> None:
    """Nine rows in batches of at most four, and no fewer than three."""
    limit(world, min_requests=2, max_requests=4, lone_request="error")
    world.job(*"abcdefghi")
    assert world.apply().exit_code == ExitCode.DONE
    assert sorted(members for members, _ in intended(world)) == [2, 3, 4]


def test_what_comes_back_waits_for_what_is_under_way(world: World) -> None:
    """Two batches lose a line each, and the two rows go again together."""
    limit(world, min_requests=2, max_requests=4, lone_request="error")
    world.job(*"abcdefgh")
    world.wire.faults.append(
        Fault("GET", "/files/.*/content", rewrite=lambda body: body.partition(b"\n")[2], times=2)
    )
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(4, "batch"), (4, "batch"), (2, "batch")]


def test_a_row_that_another_row_waits_for_does_not_wait_for_it(world: World) -> None:
    """The chain shares one lane: whoever waited for the other would wait for ever."""
    limit(world, min_requests=2)
    world.spec("""
        first = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="say {id}")
        second = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(first), prompt="to {output}")
    """)
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(1, "batch"), (1, "batch")]


def test_a_row_waits_for_a_job_that_will_join_it(world: World) -> None:
    """`late` becomes known when `early`, in another lane, is answered; then both go together."""
    openai = world.settings.providers["openai"]
    prices = {**openai.prices, "gpt-5-nano": openai.prices["gpt-5-mini"]}
    world.settings = world.settings.model_copy(
        update={"providers": {"openai": openai.model_copy(update={"prices": prices})}}
    )
    limit(world, min_requests=2)
    world.spec("""
        early = Job(model="openai:gpt-5-nano", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                    prompt="say {id}")
        alone = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "c"}]), prompt="say {id}")
        late = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(early), prompt="to {output}")
    """)
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(2, "batch"), (3, "batch")]


def test_a_request_that_may_not_be_sent_ends_as_failed(world: World) -> None:
    """Nothing is sent; once it may be sent it goes by itself no more, but when asked to."""
    limit(world, min_requests=3, lone_request="error")
    world.job("a", "b")
    (note,) = world.plan().notes
    assert "ends as failed, unsent" in note
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.wire.count("POST", ".*") == 0
    (event,) = (e for e in world.hook.events if isinstance(e, RequestsDeclined))
    assert event.requests == 2
    assert "takes no batch of fewer than 3 requests" in (world.items()["a"].reason or "")
    assert not world.plan().can_apply
    limit(world, min_requests=3)
    assert world.apply(replace=["m.j"]).exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_live_requests_cost_what_live_requests_cost(world: World) -> None:
    """Twice the price of a batch, in the plan and in the end."""
    world.job("a", settings="{'max_tokens': 10}")
    batch = world.plan()
    limit(world, min_requests=2, lone_request="live")
    live = world.plan()
    assert (live.cost, live.cost_at_most) == (2 * batch.cost, 2 * batch.cost_at_most)
    assert "at its live endpoint" in live.notes[0]
    run = world.apply()
    assert intended(world) == [(1, "live")]
    (progress,) = run.jobs
    assert float(progress.cost or 0) == pytest.approx(2 * priced(progress.usage))


def test_enough_requests_are_never_asked_live(world: World) -> None:
    limit(world, min_requests=2, lone_request="live")
    world.job("a", "b")
    assert world.plan().notes == ()
    world.apply()
    assert intended(world) == [(2, "batch")]


def test_live_requests_are_in_no_queue(world: World) -> None:
    """The bound of what is under way is one of batches."""
    limit(world, min_requests=3, lone_request="live", max_enqueued_tokens={"gpt-5-mini": 25})
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(2, "live")]


def test_a_row_that_comes_back_alone_is_asked_live(world: World) -> None:
    """Beside batches of the same run, whose results are read with their own prices."""
    limit(world, min_requests=2, lone_request="live")
    world.job(*"abcd")
    world.wire.faults.append(
        Fault("GET", "/files/.*/content", rewrite=lambda body: body.partition(b"\n")[2])
    )
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(4, "batch"), (1, "live")]
    items = world.items().values()
    factors = [float(item.cost or 0) / priced(item.usage) for item in items]
    assert sorted(factors) == pytest.approx([1, 1, 1, 2])


RESPONSES = "openai-responses"


def lone_live(world: World, provider: str) -> None:
    settings = world.settings.providers.get(provider, OpenAISettings())
    limits = Limits(min_requests=2, lone_request="live")
    providers = {
        **world.settings.providers,
        provider: settings.model_copy(update={"limits": limits}),
    }
    world.settings = world.settings.model_copy(update={"providers": providers})


@pytest.mark.parametrize("provider", ["openai", RESPONSES])
def test_a_lone_vector_is_asked_for_live(world: World, provider: str) -> None:
    """Whichever endpoint the provider speaks otherwise: vectors come from one of their own."""
    lone_live(world, provider)
    model = f"{provider}:text-embedding-3-small"
    world.spec(
        f"j = EmbeddingJob(model={model!r}, rows=rows.inline([{{'id': 'a'}}]), input='{{id}}',"
        " dimensions=2)"
    )
    world.model = lambda _: [[1.0, 0.5]]
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(1, "live")]
    assert list(world.items()["a"].output) == [1.0, 0.5]


def test_a_vector_of_a_provider_of_responses_comes_in_a_batch(world: World) -> None:
    world.spec(
        "j = EmbeddingJob(model='openai-responses:text-embedding-3-small', dimensions=2,"
        " rows=rows.inline([{'id': 'a'}]), input='{id}')"
    )
    world.model = lambda _: [[1.0, 0.5]]
    assert world.apply().exit_code == ExitCode.DONE
    assert [batch["endpoint"] for batch in world.remote()] == ["/v1/embeddings"]


def test_each_turn_of_a_lone_conversation_is_asked_live(world: World) -> None:
    lone_live(world, RESPONSES)
    world.spec(
        """
        @tool
        def add(x: int, y: int) -> int:
            return x + y

        j = Job(model="openai-responses:gpt-5-mini", rows=rows.inline([{"id": "a"}]),
                prompt="{id}", tools=[add])
        """
    )

    def model(body: dict[str, Any]) -> Any:
        if "function_call_output" in str(body["input"]):
            return "done"
        calls = [{"name": "add", "arguments": {"x": 1, "y": 2}}]
        return {"role": "assistant", "tool_calls": calls}

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert intended(world) == [(1, "live"), (1, "live")]
    assert world.texts() == {"a": "done"}
