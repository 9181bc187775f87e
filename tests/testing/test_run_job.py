"""`run_job`: a single job through the real path, and what a test can say and see."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from batchspec import Job, ModelRetry, rows
from batchspec.errors import ProviderError, RefusedError, UsageError
from batchspec.messages import LineError
from batchspec.plan.changes import Kind
from batchspec.testing import (
    Answer,
    Faults,
    Pace,
    Request,
    Run,
    ScriptError,
    ToolRun,
    call,
    fail,
    made_up,
    refuse,
    script,
)
from testing.jobs import SURE, Triage, queue, reply, triage, words

RunJob = Callable[..., Run]
ONE = [{"id": "t-1", "text": "charged twice"}]


def test_answers_by_key_become_outputs(run_job: RunJob) -> None:
    bug = Triage(queue="bug", urgency=5)
    run = run_job(triage, answers={"t-1": SURE, "t-2": {"queue": "bug", "urgency": 5}})
    assert run.outputs == {"t-1": SURE, "t-2": bug}
    assert run["t-1"].address == 'jobs.triage["t-1"]'
    assert (run["t-1"].turns, run["t-1"].row) == (1, ONE[0])
    assert run.outcomes == {"t-1": "succeeded", "t-2": "succeeded"}
    assert (len(run), run.requests, len(run.batches), run.failed) == (2, 2, 1, [])
    assert run.plan.counts == {Kind.SUBMIT: 2}
    assert run.result.done
    assert Decimal(0) < run.cost < Decimal("0.01")
    assert run.usage.input_tokens == sum(item.usage.input_tokens for item in run)


def test_answers_are_made_up_where_none_are_given(run_job: RunJob) -> None:
    run = run_job(words, answers={"t-1": "fine", ...: made_up})
    assert run["t-1"].output == "fine"
    assert len(run["t-2"].output) > 3
    assert {type(output) for output in run_job(words).outputs.values()} == {str}


def test_one_answer_counts_for_every_row(run_job: RunJob) -> None:
    assert run_job(words, answers="fine").outputs == {"t-1": "fine", "t-2": "fine"}


@pytest.mark.parametrize("answers", ["fine", {"t-1": "fine"}])
def test_one_answer_counts_for_every_turn(run_job: RunJob, answers: Any) -> None:
    """The first reply comes back empty, so the row is asked again."""
    faults = Faults()
    faults.add("odd_content", form="empty", times=1)
    item = run_job(words, rows=ONE, answers=answers, faults=faults)["t-1"]
    assert (item.output, item.turns) == ("fine", 2)


def test_a_function_answers_a_request(run_job: RunJob) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> str:
        asked.append(request)
        return f"{request.key}: {request.text}"

    run = run_job(words, answers=answer)
    assert run.outputs == {"t-1": "t-1: charged twice", "t-2": "t-2: it crashes"}
    assert {(r.job, r.turn, r.body["model"]) for r in asked} == {("jobs.words", 1, "gpt-5-mini")}
    assert list(run.project.server.requests) == asked


@pytest.mark.parametrize("answer", ["bug", script({"response": "bug"})])
def test_a_value_of_a_type_that_is_no_object_is_wrapped(run_job: RunJob, answer: Any) -> None:
    run = run_job(queue, answers=answer)
    assert set(run.outputs.values()) == {"bug"}
    assert run["it crashes"].grade == 1.0


def test_rows_may_come_one_after_the_other(run_job: RunJob) -> None:
    made = ({"id": name, "text": "hello"} for name in "ab")
    assert set(run_job(words, rows=made, answers="fine").outputs) == {"a", "b"}


def test_rows_of_the_test_replace_those_of_the_job(run_job: RunJob) -> None:
    """The key stays the field it was."""
    run = run_job(queue, rows=[{"id": "t-9", "text": "hello"}], answers={"hello": "billing"})
    assert run.outputs == {"hello": "billing"}
    assert run["hello"].grade == 0.0


def test_tools_are_called_with_arguments_and_results(run_job: RunJob) -> None:
    run = run_job(
        triage,
        rows=ONE,
        answers=script(
            [call("lookup_order", order_id="A1"), call("lookup_order", order_id="B2")],
            call("shout", '{"broken'),
            SURE,
        ),
    )
    item = run["t-1"]
    assert item.output == SURE
    assert (item.turns, len(item.conversation), run.requests, len(run.batches)) == (3, 3, 3, 3)
    assert item.tool_calls == [
        ToolRun(
            name="lookup_order", arguments={"order_id": "A1"}, result='{"state":"sent"}', attempts=1
        ),
        ToolRun(
            name="lookup_order",
            arguments={"order_id": "B2"},
            result='{"error": "no such order"}',
            attempts=1,
        ),
        ToolRun(
            name="shout",
            arguments='{"broken',
            result="""{"error": "Unknown tool name: 'shout'. Available tools: 'lookup_order'"}""",
        ),
    ]
    first, _, last = item.conversation
    assert [message["role"] for message in first.request["messages"]] == ["system", "user"]
    assert len(last.request["messages"]) == 2 + 1 + 2 + 1 + 1
    assert sum(float(turn.cost or 0) for turn in item.conversation) == pytest.approx(
        float(item.cost or 0)
    )


def test_a_tool_that_fails_shows_its_attempts(run_job: RunJob) -> None:
    run = run_job(triage, rows=ONE, answers=call("lookup_order", order_id="broken"))
    item = run["t-1"]
    assert (item.outcome, item.succeeded, run.failed) == ("failed", False, [item])
    (ran,) = item.tool_calls
    assert (ran.failed, ran.attempts) == (True, 2)
    assert ran.result == item.reason == "tool 'lookup_order' raised RuntimeError: no database"


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (refuse("Not that."), "refused", "Not that."),
        (fail(400, "too odd", code="odd"), "failed", "odd: too odd"),
        (Answer(content="He", finish_reason="length"), "truncated", None),
    ],
)
def test_what_is_no_answer_has_its_outcome(
    run_job: RunJob, answer: Any, outcome: str, reason: str | None
) -> None:
    item = run_job(words, rows=ONE, answers=answer)["t-1"]
    assert item.outcome == outcome
    assert reason is None or item.reason == reason


def test_a_failure_in_passing_is_followed_by_the_answer(run_job: RunJob) -> None:
    run = run_job(words, rows=ONE, answers=script(fail(500), fail(429), "fine"))
    item = run["t-1"]
    assert (item.output, item.turns, run.requests) == ("fine", 1, 3)
    errors = [turn.reply for turn in item.conversation[:2]]
    assert all(isinstance(error, LineError) for error in errors)
    assert [turn.number for turn in item.conversation] == [1, 1, 1]


def test_a_validator_asks_again(run_job: RunJob) -> None:
    def short(text: str) -> None:
        if len(text) > 5:
            raise ModelRetry("Shorter, please.")

    job = Job(
        model="openai:gpt-5-mini",
        rows=rows.inline(ONE),
        prompt="{text}",
        output_validators=[short],
    )
    run = run_job(job, answers={"t-1": script("much too long", "fine")})
    assert run["t-1"].output == "fine"
    assert run["t-1"].address == 'test_run_job.job["t-1"]'
    assert "Shorter, please." in run.project.server.requests[-1].text


def test_jobs_of_answers_bring_what_they_need(run_job: RunJob) -> None:
    run = run_job(
        reply,
        rows={triage: ONE},
        answers={triage: SURE, reply: lambda request: request.text.upper()},
    )
    assert run.outputs == {"t-1": "WRITE TO BILLING."}
    assert run.of(triage).outputs == {"t-1": SURE}
    assert run.of(reply).requests == run.of("jobs.triage").requests == 1


def test_a_job_of_answers_runs_alone_on_rows_of_the_test(run_job: RunJob) -> None:
    run = run_job(reply, rows=[{"key": "k", "row": {}, "output": {"queue": "bug"}}], answers="ok")
    assert run.project.server.requests[0].text == "Write to bug."


def test_an_upstream_named_by_its_address_is_given_too(run_job: RunJob) -> None:
    named = Job(
        model="openai:gpt-5-mini", rows=rows.outputs_of("jobs.words"), prompt="{output}", output=str
    )
    run = run_job(named, words, answers={words: "fine", named: "done"})
    assert run.outputs == {"t-1": "done", "t-2": "done"}


def test_two_jobs_made_in_one_place_have_addresses_of_their_own(run_job: RunJob) -> None:
    first, second = (
        Job(model="openai:gpt-5-mini", rows=rows.inline(ONE), prompt=f"{n} {{text}}")
        for n in range(2)
    )
    run = run_job(first, second, answers={first: "one", second: "two"})
    assert run.of(second)["t-1"].output == "two"
    assert run.of(second)["t-1"].job == "test_run_job.job_2"


def test_runs_know_nothing_of_each_other(run_job: RunJob) -> None:
    for text in ("one", "two"):
        assert run_job(words, rows=ONE, answers=text)["t-1"].output == text


# --- wrong answers


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"t-1": SURE}, "There is no answer for jobs.triage[\"t-2\"]; answers are for 't-1'."),
        (
            {"t-11": SURE, ...: SURE},
            "An answer is given for 't-11', which is no row of jobs.triage. Did you mean 't-1'?",
        ),
        (
            {"t-1": script(SURE, SURE), ...: SURE},
            'Of the 2 answers for jobs.triage["t-1"] only 1 were asked for.',
        ),
        (
            script(fail(500), SURE, refuse()),
            'Of the 3 answers for jobs.triage["t-1"] only 2 were asked for.',
        ),
        (
            {"t-1": script(call("lookup_order", order_id="A1")), ...: SURE},
            'The answers for jobs.triage["t-1"] run out: there is 1, and turn 2 is asked. '
            "The last message was: " + repr('{"state":"sent"}'),
        ),
    ],
    ids=["missing", "unknown", "too many", "too many after a failure", "too few"],
)
def test_answers_that_do_not_fit_are_refused(run_job: RunJob, answers: Any, told: str) -> None:
    with pytest.raises(ScriptError) as refused:
        run_job(triage, answers=answers)
    assert told in str(refused.value).splitlines()


def test_rows_with_one_request_have_one_answer(run_job: RunJob) -> None:
    same = [{"id": "a", "text": "x"}, {"id": "b", "text": "x"}]
    run = run_job(words, rows=same, answers={"a": "fine", "b": "fine"})
    assert (run.outputs, run.requests) == ({"a": "fine", "b": "fine"}, 1)
    assert run_job(words, rows=same, answers={"b": "fine"}).outputs == {"a": "fine", "b": "fine"}
    with pytest.raises(ScriptError, match="make the same request, so the model is asked once"):
        run_job(words, rows=same, answers={"a": "fine", "b": "no"})


def test_a_function_that_fails_is_told_and_not_sent(run_job: RunJob) -> None:
    with pytest.raises(ScriptError, match=r'for jobs\.words\["t-1"\] raised Key') as refused:
        run_job(words, answers=lambda request: {}[request.key])
    assert isinstance(refused.value.__cause__, KeyError)


async def later(_request: Request) -> str:
    return "fine"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (lambda: "fine", "TypeError: .* takes 0 positional arguments but 1 was given"),
        (later, "TypeError: an answer's function is no `async def`"),
        (lambda _: None, "TypeError: None is no answer. Answers are texts"),
        (lambda _: script("fine"), "TypeError: Script.* is no answer"),
        (lambda _: refuse(cast("Any", 3)), "TypeError: a refusal is a text, not 3"),
        (lambda _: fail(700), "ValueError: A failure has a status from 400 to 599, not 700"),
        (object(), "TypeError: <object object .* is no answer"),
        (Answer(content=cast("Any", 3)), "TypeError: the content of an answer is a text, not 3"),
        (Answer(tool_calls=cast("Any", ["x"])), "TypeError: `Answer.tool_calls` are `ToolCall`s"),
        ("\ud800", "UnicodeEncodeError: .*surrogates not allowed"),
    ],
)
def test_what_is_no_answer_is_told_and_not_sent(run_job: RunJob, answers: Any, told: str) -> None:
    with pytest.raises(ScriptError, match=told) as refused:
        run_job(words, rows=ONE, answers=answers)
    assert isinstance(refused.value.__cause__, TypeError | ValueError)


def test_a_function_that_fails_the_test_fails_it(run_job: RunJob) -> None:
    with pytest.raises(pytest.fail.Exception, match="asked twice"):
        run_job(words, answers=lambda _: pytest.fail("asked twice"))


@pytest.mark.parametrize("status", [200, 399, 600, "500"])
def test_a_failure_has_the_status_of_one(status: Any) -> None:
    with pytest.raises(ValueError, match="from 400 to 599"):
        fail(status)


@pytest.mark.parametrize(
    ("job", "arguments", "told"),
    [
        ("jobs.words", {}, "`run_job` takes a `Job`, not 'jobs.words'"),
        (words, {"pace": 3}, r"`pace` is a `Pace`, not 3; .* Pace\(in_progress=60\)"),
        (words, {"faults": "hostile"}, r"`faults` is a `Faults`, not 'hostile'; .*add_scenario"),
        (words, {"anwsers": "fine"}, "`run_job` has no argument 'anwsers'. Did you mean 'answers'"),
        (words, {"detached": True}, "`run_job` has no argument 'detached'. Did you mean 'detach'"),
        (words, {"rows": {"id": "q"}}, r"a list of mappings, .*, not \{'id': 'q'\}"),
        (words, {"rows": {words: ["q"]}}, r"a list of mappings, .*, not \['q'\]"),
        (words, {"rows": 3}, "a list of mappings, .*, not 3"),
    ],
)
def test_an_argument_of_another_type_is_refused_before_anything_runs(
    run_job: RunJob, job: Any, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(TypeError, match=told) as refused:
        run_job(job, **arguments)
    assert refused.value.__context__ is None


def test_another_pace_is_refused_while_batches_run(run_job: RunJob) -> None:
    project = run_job(words).project
    with pytest.raises(TypeError, match="`pace` is a `Pace`, not 3"):
        project.server.pace = 3
    with pytest.raises(TypeError, match=r"`apply` has no argument 'replaces'\. Did you mean"):
        project.apply(replaces=["jobs.words"])


def test_an_error_of_the_apply_has_no_other_before_it(run_job: RunJob) -> None:
    with pytest.raises(RefusedError) as refused:
        run_job(words, max_cost=Decimal("0.0000001"))
    assert refused.value.__context__ is None


def test_a_script_without_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        script()


def test_answers_for_another_job_are_refused(run_job: RunJob) -> None:
    run = run_job(words)
    with pytest.raises(UsageError, match=r"There is no job 'jobs\.wrods'\. Did you mean"):
        run.project.answer("jobs.wrods", "fine")
    with pytest.raises(UsageError, match=r"The job made at .*jobs\.py:\d+ is not in this project"):
        run.project.answer(triage, SURE)


# --- what a test is told


def test_an_output_that_is_not_there_says_why(run_job: RunJob) -> None:
    run = run_job(triage, answers={"t-1": fail(400, "Invalid schema."), ...: SURE})
    with pytest.raises(AssertionError) as told:
        _ = run["t-1"].output.queue
    assert str(told.value).splitlines() == [
        'there is no output: jobs.triage["t-1"] failed: invalid_request_error: Invalid schema.',
        "  turn 1",
        "    system: You route tickets.",
        "    user: charged twice",
        "    => error invalid_request_error: Invalid schema.",
    ]
    assert repr(run["t-1"]) == (
        '<jobs.triage["t-1"] failed: invalid_request_error: Invalid schema.>'
    )
    with pytest.raises(AssertionError, match="there is no output"):
        _ = run.outputs


def test_a_key_that_is_not_there_is_guessed(run_job: RunJob) -> None:
    run = run_job(words)
    with pytest.raises(LookupError, match=r"No item has the key 't-3'\. Did you mean 't-"):
        _ = run["t-3"]


def test_a_cost_that_nobody_knows_is_no_number(run_job: RunJob) -> None:
    job = Job(model="openai:my-own", rows=rows.inline(ONE), prompt="{text}")
    with pytest.raises(AssertionError, match="the price of its model is"):
        _ = run_job(job).cost


# --- faults and time


def test_a_lost_answer_to_create_is_paid_once(run_job: RunJob) -> None:
    faults = Faults()
    faults.add("reset_after_commit", on="batches.create", times=1)
    run = run_job(words, faults=faults)
    assert run.failed == []
    assert len(run.project.server.batches) == run.project.server.count("POST", "/v1/batches") == 1


def test_a_batch_that_expires_is_sent_again(run_job: RunJob) -> None:
    """Two days of the provider's time pass at once."""
    run = run_job(words, pace=Pace(in_progress=25 * 3600), rows=ONE, answers="fine")
    assert run["t-1"].outcome == "expired"
    assert {batch["status"] for batch in run.project.server.batches} == {"expired"}
    run.project.server.pace = Pace()
    again = run.project.apply()
    assert again["t-1"].output == "fine"


def test_a_refused_key_is_an_error_of_the_run(run_job: RunJob) -> None:
    faults = Faults()
    faults.add("denied")
    with pytest.raises(ProviderError):
        run_job(words, faults=faults)


def test_options_reach_the_apply(run_job: RunJob) -> None:
    with pytest.raises(RefusedError, match="may cost"):
        run_job(words, max_cost=Decimal("0.0000001"))
    run = run_job(words, detach=True)
    assert {item.outcome for item in run} == {None}
    run.project.clock.advance("24h")
    assert run.project.apply().outcomes == {"t-1": "succeeded", "t-2": "succeeded"}
    assert not run.project.plan().can_apply


@pytest.mark.anyio
async def test_it_runs_beside_an_event_loop(run_job: RunJob) -> None:
    assert run_job(words, answers="fine")["t-1"].output == "fine"


@pytest.mark.parametrize("scenario", ["hostile", "flaky-network"])
@pytest.mark.parametrize("seed", range(15))
def test_a_run_gets_every_answer_whatever_a_seed_draws(
    run_job: RunJob, scenario: str, seed: int
) -> None:
    """Also where it strikes the very first calls, which nothing repeats below the run here."""
    faults = Faults(seed=seed)
    faults.add_scenario(scenario)
    run = run_job(words, faults=faults)
    assert run.outcomes == {"t-1": "succeeded", "t-2": "succeeded"}
