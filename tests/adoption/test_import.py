"""`import`: batches that were made by hand become answers of a job, and are paid once."""

import json
import shutil
from typing import Any

import pytest
from worlds import Fault, World

from adoption.handmade import by_hand, delete_input, files, line
from batchspec.errors import ProviderError, RefusedError, UsageError
from batchspec.plan.changes import Kind
from batchspec.project.imported import ImportResult
from batchspec.state.events import BatchCollected, CallFailed

EMBEDDINGS = "/v1/embeddings"


def imported(world: World, batch: str, address: str = "m.j", **options: Any) -> ImportResult:
    """Import as a process of its own would, and check the state afterwards."""
    try:
        with world.open() as project:
            return project.import_batch(address, batch, **options)
    finally:
        world.check()


def counts(world: World) -> dict[str, int]:
    return {kind.value: n for kind, n in world.plan().counts.items() if n}


def test_keys_as_custom_ids(world: World) -> None:
    world.job("a", "b", "c")
    batch = by_hand(world, line("a", "say a"), line("b", "say b"))
    result = imported(world, batch)
    assert (result.members, result.lines, result.rows_without_line) == (2, 2, 1)
    plan = world.plan()
    assert {k: n for k, n in plan.counts.items() if n} == {Kind.CONTINUE: 2, Kind.SUBMIT: 1}
    assert [r.code for r in plan.jobs[0].reasons] == ["BATCH_IN_PROGRESS", "NEW_ROWS"]
    assert plan.requests == 1
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B", "c": "SAY C"}
    assert (world.created, world.lines) == (2, 3)
    assert all(item.cost is not None and item.cost > 0 for item in world.items().values())
    assert counts(world) == {" ": 3}


@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_vectors_in_whatever_form_they_come(world: World, form: dict[str, str]) -> None:
    """The plain API sends numbers, we ask for bytes: the request is the same."""
    world.model = lambda body: [[float(len(body["input"])), 0.5]]
    world.spec(
        """
        j = EmbeddingJob(model="openai:text-embedding-3-small", dimensions=2, input="say {id}",
                         rows=rows.inline([{"id": "a"}, {"id": "bb"}]))
        """
    )
    body = {"model": "text-embedding-3-small", "dimensions": 2, **form}
    asked = {"method": "POST", "url": EMBEDDINGS}
    lines = [
        {**asked, "custom_id": f"x-{text}", "body": body | {"input": text}}
        for text in ("say a", "say bb")
    ]
    result = imported(world, by_hand(world, *lines, endpoint=EMBEDDINGS))
    assert (result.members, result.rows_without_line) == (2, 0)
    assert world.apply().done
    assert {key: item.output for key, item in world.items().items()} == {
        "a": [5.0, 0.5],
        "bb": [6.0, 0.5],
    }
    assert world.created == 1


def test_equal_requests_under_other_names(world: World) -> None:
    world.job("a", "b", "c")
    batch = by_hand(world, line("x-1", "say b"), line("x-2", "say a"), line("x-3", "say z"))
    result = imported(world, batch)
    assert (result.members, result.unmatched, result.stray) == (2, 1, "x-3")
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B", "c": "SAY C"}
    assert world.lines == 4


def test_our_own_batch_of_a_state_that_is_lost(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    (remote,) = world.remote()
    shutil.rmtree(world.state)
    with pytest.raises(RefusedError, match=r"made by another state .*add `--force`"):
        imported(world, remote["id"])
    assert imported(world, remote["id"], force=True).members == 2
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert (world.created, world.lines) == (1, 2)


def test_the_request_decides_though_the_name_is_that_of_a_row(world: World) -> None:
    world.job("a", "b")
    batch = by_hand(world, line("a", "say a", max_tokens=5), line("b", "say b"))
    result = imported(world, batch, match="request")
    assert (result.members, result.mismatches) == (1, 1)
    assert result.example is not None
    assert (result.example.custom_id, result.example.key) == ("a", "a")
    difference = result.example.difference
    assert (difference.path, difference.before, difference.after) == (
        "body.max_tokens",
        "absent",
        "5",
    )
    assert counts(world) == {">>": 1, "+": 1}


def test_who_has_to_choose_is_asked_before_anything_is_recorded(world: World) -> None:
    """A batch is imported once: what one way of matching leaves out, another cannot add later."""
    world.job("a", "b")
    batch = by_hand(world, line("a", "say a", max_tokens=5), line("b", "say b"))
    told = (
        r"By custom_id 1 line .* asks something else \(line 'a' for row 'a': body.max_tokens is 5 "
        r".*`--match custom-id` takes its answers .*`--match request` leaves such lines out"
    )
    with pytest.raises(RefusedError, match=told):
        imported(world, batch)
    assert counts(world) == {"+": 2}
    assert imported(world, batch, match="custom-id").members == 2
    world.apply()
    assert (set(world.items()), world.created) == ({"a", "b"}, 1)


def test_nobody_has_to_choose_where_no_row_would_be_left(world: World) -> None:
    """The row is answered, or another line asks just what it asks."""
    world.job("a")
    world.apply()
    world.job("a", "b", "c")
    batch = by_hand(
        world, line("a", "say z"), line("b", "say y"), line("x", "say b"), line("c", "say c")
    )
    result = imported(world, batch)
    assert (result.members, result.mismatches) == (2, 2)
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B", "c": "SAY C"}


def test_names_are_trusted_when_a_person_says_so(world: World) -> None:
    world.job("a", "b")
    batch = by_hand(world, line("a", "say something else"), line('m.j["b"]', "say b"))
    result = imported(world, batch, match="custom-id")
    assert (result.members, result.other_requests) == (2, 1)
    world.apply()
    assert world.texts() == {"a": "SAY SOMETHING ELSE", "b": "SAY B"}


def test_names_are_not_looked_at_when_a_person_says_so(world: World) -> None:
    world.job("a", "b")
    batch = by_hand(world, line("b", "say a"), line("a", "say b"))
    imported(world, batch, match="request")
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_the_order_of_keys_and_the_kind_of_a_number_make_no_difference(world: World) -> None:
    world.job("a", settings="{'logit_bias': {'7': 0.5, '6': 2}}")
    batch = by_hand(world, line("x", "say a", logit_bias={"6": 2.0, "7": 0.5}))
    assert imported(world, batch).members == 1


def test_rows_that_ask_the_same_share_one_line(world: World) -> None:
    world.job("a", "b", prompt="'say it'")
    batch = by_hand(world, line("x", "say it"), line("y", "say it"))
    result = imported(world, batch)
    assert (result.members, result.unmatched, result.rows_without_line) == (1, 1, 0)
    world.apply()
    assert world.texts() == {"a": "SAY IT", "b": "SAY IT"}


def test_answered_rows_are_left(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", "b")
    batch = by_hand(world, line("a", "say a"), line("b", "say b"))
    result = imported(world, batch)
    assert (result.members, result.answered) == (1, 1)
    with pytest.raises(RefusedError, match=r"No line .* answered already"):
        imported(world, by_hand(world, line("a", "say a")))
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_rows_in_flight_are_left(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    batch = by_hand(world, line("a", "say a"))
    with pytest.raises(RefusedError, match="1 of rows that are in another batch"):
        imported(world, batch)
    world.apply()
    assert world.created == 2


def test_rows_whose_batch_was_cancelled_take_the_answers(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    world.server.cancel_batches()
    world.apply()
    assert world.outcomes() == {"a": "cancelled"}
    imported(world, by_hand(world, line("a", "say a")))
    world.apply()
    assert world.texts() == {"a": "SAY A"}


def test_a_changed_row_takes_the_answers_and_keeps_the_old_one_until_then(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", prompt="'tell {id}'")
    imported(world, by_hand(world, line("a", "tell a")))
    assert world.texts() == {"a": "SAY A"}
    world.apply()
    assert world.texts() == {"a": "TELL A"}


def test_a_protected_row_keeps_its_answer(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", prompt="'tell {id}'", protect="True")
    with pytest.raises(RefusedError, match="answered already"):
        imported(world, by_hand(world, line("a", "tell a")))


def test_twice_is_once(world: World) -> None:
    world.job("a")
    batch = by_hand(world, line("a", "say a"))
    assert imported(world, batch).members == 1
    again = imported(world, batch)
    assert (again.already, again.members) == (True, 1)
    world.apply()
    again = imported(world, batch)
    assert (again.already, again.members, again.status) == (True, 1, "completed")


def test_files_of_others_stay_at_the_provider(world: World) -> None:
    world.job("a")
    batch = by_hand(world, line("a", "say a"))
    before = files(world)
    imported(world, batch)
    world.apply()
    assert before <= files(world)


def test_tools_and_further_turns_go_on_in_batches_of_ours(world: World) -> None:
    def model(body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "tool":
            return "four"
        call = {"name": "count", "arguments": '{"word": "five"}'}
        calls = [{"id": "call_1", "type": "function", "function": call}]
        return {"role": "assistant", "content": None, "tool_calls": calls}

    world.model = model
    world.spec(
        """
        @tool
        def count(word: str) -> int:
            \"\"\"Count letters.\"\"\"
            return len(word)
        j = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]), prompt='say {id}',
                tools=[count])
        """
    )
    with world.open() as project:
        request = project.render('m.j["a"]').request
    batch = by_hand(world, request)
    imported(world, batch)
    world.apply()
    assert world.texts() == {"a": "four"}
    assert (world.created, world.lines) == (2, 2)


def test_a_later_turn_of_a_recorded_conversation(world: World) -> None:
    world.job("a", output_validators="[check]")
    spec = world.root / "specs" / "m.py"
    check = "def check(value):\n    if value != 'NO':\n        raise ModelRetry('say no')\n"
    spec.write_text(spec.read_text().replace("j = ", check + "    return value\nj = "))
    # The first turn came from an imported batch, and the process died when it was collected.
    imported(world, by_hand(world, line("a", "say a")))

    def die(event: Any) -> None:
        assert not isinstance(event, BatchCollected)

    world.hook.react = die
    with pytest.raises(AssertionError):
        world.apply()
    world.hook.react = lambda event: None
    with world.open() as project, project.reader() as reader:
        (waiting,) = reader.db.execute(
            "SELECT request FROM conversations WHERE phase = 'pending' AND turn = 2"
        ).fetchall()
        messages = json.loads(reader.bodies.get(waiting[0]).partition(b"\t")[0])
    world.model = lambda body: "NO"
    asked = line("mine", "")
    asked["body"]["messages"] = messages
    assert imported(world, by_hand(world, asked)).members == 1
    world.apply()
    assert world.texts() == {"a": "NO"}
    assert world.created == 2


def test_a_batch_of_others_is_never_cancelled(world: World) -> None:
    """Not even when no row wants it any more: its maker may."""
    world.job("a")
    imported(world, by_hand(world, line("a", "say a")))
    world.remove("m")
    world.job("b", name="n")
    world.apply()
    assert {b["status"] for b in world.remote()} == {"completed"}


def test_lines_that_are_none_are_counted(world: World) -> None:
    """Such a file fails at the provider, which may find that out after it was imported."""
    world.job("a", "b", "c")
    batch = by_hand(
        world,
        line("a", "say a"),
        b'{"custom_id": "\\ud800", "method": "POST", "body": {"model": "m"}}',
        b"\xff\xfe",
        line("a", "say b"),
        line("c", "say c"),
        b"",
        b"[" * 5000,
    )
    result = imported(world, batch)
    assert (result.members, result.lines, result.unread) == (2, 2, 5)
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B", "c": "SAY C"}


def test_a_line_that_says_the_same_under_another_name_is_told(world: World) -> None:
    world.job("a", "b")
    batch = by_hand(world, line("x", "say a", seed=5), line("y", "say b"))
    result = imported(world, batch)
    assert (result.members, result.mismatches, result.unmatched) == (1, 1, 0)
    assert result.example is not None
    assert (result.example.custom_id, result.example.key) == ("x", "a")
    assert result.example.difference.path == "body.seed"


# --- what is refused


def test_a_batch_nobody_knows(world: World) -> None:
    world.job("a")
    with pytest.raises(ProviderError, match="knows no batch 'batch_none'"):
        imported(world, "batch_none")


def test_a_job_nobody_knows(world: World) -> None:
    world.job("a")
    with pytest.raises(UsageError, match=r"There is no job 'm.k'. Jobs are: m.j"):
        imported(world, "batch_none", "m.k")


def test_a_job_with_variants_says_which_can_be_named(world: World) -> None:
    world.job("a", variants="{'plain': {}, 'terse': {'instructions': 'Be brief.'}}")
    told = r"'m.j' has variants or samples; name one of them: m.j@plain, m.j@terse."
    with pytest.raises(UsageError, match=told):
        imported(world, "batch_none")


def test_another_model(world: World) -> None:
    world.job("a")
    batch = by_hand(world, line("a", "say a", model="gpt-4o"))
    with pytest.raises(RefusedError, match=r"asks gpt-4o, job m.j asks gpt-5-mini"):
        imported(world, batch)


def test_another_endpoint(world: World) -> None:
    world.job("a")
    body = {"model": "gpt-5-mini", "input": "say a"}
    other = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
    batch = by_hand(world, other, endpoint="/v1/responses")
    with pytest.raises(RefusedError, match=r"is for /v1/responses, job m.j for /v1/chat"):
        imported(world, batch)


def test_a_batch_that_failed(world: World) -> None:
    world.job("a")
    batch = by_hand(world, line("a", "say a"), b"no json")
    world.clock.advance(3600)
    with pytest.raises(RefusedError, match=r"failed before anything ran .*invalid_json_line"):
        imported(world, batch)


def test_a_batch_that_fails_later_gives_its_rows_back(world: World) -> None:
    world.job("a", "b")
    batch = by_hand(world, line("other", "say"), b"no json", line("b", "say b"))
    result = imported(world, batch)
    assert (result.members, result.unread) == (1, 1)
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_the_line_of_a_member_that_fails_validation(world: World) -> None:
    world.job("a", "b", settings="{'seed': 1}")
    bad = {**line("b", "say b", seed=1), "method": "GET"}
    batch = by_hand(world, line("other", "say"), bad, line("a", "say a", seed=1))
    imported(world, batch)
    world.apply()
    assert world.outcomes() == {"a": "succeeded", "b": "failed"}


def test_one_of_ours_whose_creation_got_no_answer(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault("POST", "/batches", after=True))
    world.wire.faults.append(Fault("GET", "/batches", status=500, times=None))

    def stop(event: Any) -> None:
        assert not isinstance(event, CallFailed)

    world.hook.react = stop
    with pytest.raises(AssertionError):
        world.apply()
    world.wire.faults.clear()
    (remote,) = world.remote()
    with pytest.raises(RefusedError, match="one of this state's own"):
        imported(world, remote["id"])


# --- the input file is gone


def test_without_the_input_file_names_decide(world: World) -> None:
    world.job("a", "b")
    batch = by_hand(world, line("a", "say a"), line("z", "say z"))
    world.clock.advance(10)
    assert world.remote()[0]["status"] == "in_progress"
    delete_input(world, batch)
    with pytest.raises(RefusedError, match=r"input file .* is gone .*`--match custom-id` trusts"):
        imported(world, batch)
    with pytest.raises(RefusedError, match="has not ended"):
        imported(world, batch, match="custom-id")
    world.clock.advance(3600)
    result = imported(world, batch, match="custom-id")
    assert (result.members, result.unmatched) == (1, 1)
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


@pytest.mark.parametrize(
    "asked",
    [
        {"input": "say a"},
        {"input": [{"role": "user", "content": "say a"}]},
        {
            "input": [
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "say a"}],
                }
            ]
        },
    ],
)
def test_responses_may_be_asked_in_several_ways(world: World, asked: dict[str, Any]) -> None:
    model = "openai-responses:gpt-5-mini"
    world.spec(f"j = Job(model={model!r}, rows=rows.inline([{{'id': 'a'}}]), prompt='say {{id}}')")
    world.model = lambda body: "A."
    body = {"model": "gpt-5-mini", "store": False, "include": ["reasoning.encrypted_content"]}
    url = "/v1/responses"
    mine = {"custom_id": "x-1", "method": "POST", "url": url, "body": body | asked}
    batch = by_hand(world, mine, endpoint=url)
    assert imported(world, batch).members == 1
    world.apply()
    assert world.texts() == {"a": "A."}
    assert world.created == 1
