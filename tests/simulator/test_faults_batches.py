"""Behaviours 12 to 31 and 46 to 49: validation, progress, endings, and the list."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from batchspec.simulator import Pace

from .conftest import START, Simulation, request_line
from .faulty import create, look, raw, upload

pytestmark = pytest.mark.anyio
TEN = [request_line(str(number)) for number in range(10)]
DAY = 86_400


async def begin(simulation: Simulation, fault: str, **options: Any) -> str:
    """Create a batch of ten requests with a fault; returns its id."""
    simulation.engine.faults.add(fault, **options)
    return (await simulation.submit(*TEN)).id


async def after(simulation: Simulation, seconds: float, batch: str) -> dict[str, Any]:
    simulation.clock.advance(seconds)
    return await look(simulation, batch)


def counts(batch: dict[str, Any]) -> tuple[int, int, int]:
    found = batch["request_counts"]
    return found["total"], found["completed"], found["failed"]


async def ids(simulation: Simulation, file_id: str | None) -> list[str]:
    return sorted(line["custom_id"] for line in await simulation.lines(file_id))


# --- validation


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in request_line(f"no {name}").items() if key != name}


BAD: list[tuple[object, str, str | None]] = [
    (b"{", "invalid_json_line", None),
    (without("custom_id"), "missing_required_parameter", "custom_id"),
    (without("method"), "missing_required_parameter", "method"),
    (without("url"), "missing_required_parameter", "url"),
    (without("body"), "missing_required_parameter", "body"),
    (request_line("m", messages=None), "missing_required_parameter", "body.messages"),
    (request_line("n", model=None), "invalid_request", "body.model"),
    ({**request_line("u"), "url": "/v1/responses"}, "invalid_url", "url"),
    (request_line("s", stream=True), "streaming_unsupported", "body.stream"),
    (request_line("o", model="gpt-4o"), "mismatched_model", "body.model"),
    (request_line("y", model="nope"), "model_not_found", "body.model"),
    (request_line("a"), "duplicate_custom_id", "custom_id"),
]


async def test_12_every_bad_line_is_told_at_once(start: Callable[..., Simulation]) -> None:
    simulation = start(models={"gpt-5-mini", "gpt-4o"})
    batch = await simulation.submit(request_line("a"), *(line for line, *_ in BAD))
    failed = await after(simulation, 20, batch.id)
    assert (failed["status"], counts(failed)) == ("failed", (0, 0, 0))
    found = [(e["line"], e["code"], e["param"]) for e in failed["errors"]["data"]]
    assert found == [(n, code, param) for n, (_, code, param) in enumerate(BAD, start=2)]


async def test_12_validation_says_what_it_is_told(simulation: Simulation) -> None:
    told = {"code": "mismatched_model", "message": "No.", "param": "body.model", "line": 3}
    batch = await begin(simulation, "validation_error", **told)
    failed = await after(simulation, 20, batch)
    assert failed["errors"] == {"object": "list", "data": [told]}


async def test_13_the_input_cannot_be_found_though_it_is_there(simulation: Simulation) -> None:
    batch = await begin(simulation, "input_not_found", times=1)
    failed = await after(simulation, 20, batch)
    (error,) = failed["errors"]["data"]
    assert (failed["status"], error["param"]) == ("failed", "file_id")
    assert error["message"].startswith(f"Cannot find file {failed['input_file_id']}")
    assert (await raw(simulation, "GET", f"/files/{failed['input_file_id']}")).status_code == 200
    again = (await create(simulation, failed["input_file_id"])).json()["id"]
    assert (await after(simulation, 200, again))["status"] == "completed"


async def test_14_a_full_queue_refuses_by_count(start: Callable[..., Simulation]) -> None:
    simulation = start(enqueued_token_limit={"gpt-5-mini": 200})
    batches = [(await simulation.submit(*TEN)).id for _ in range(3)]
    simulation.clock.advance(20)
    first, *others = [await look(simulation, batch) for batch in batches]
    assert first["status"] == "in_progress"
    assert others[-1]["errors"]["data"][0]["code"] == "token_limit_exceeded"
    # The queue is free again when its batch has ended.
    simulation.clock.advance(200)
    again = (await create(simulation, first["input_file_id"])).json()["id"]
    assert (await after(simulation, 200, again))["status"] == "completed"


async def test_14_a_full_queue_refuses_at_will(simulation: Simulation) -> None:
    batch = await begin(simulation, "token_limit", model="gpt-5-*", limit=90_000)
    (error,) = (await after(simulation, 20, batch))["errors"]["data"]
    assert (error["code"], error["line"], error["param"]) == ("token_limit_exceeded", None, None)
    assert error["message"].startswith("Enqueued token limit reached for gpt-5-mini")
    assert "Limit: 90,000 enqueued tokens" in error["message"]


async def test_15_validating_takes_long(simulation: Simulation) -> None:
    batch = await begin(simulation, "long_validating", seconds=900)
    assert (await after(simulation, 919, batch))["status"] == "validating"
    found = await after(simulation, 1, batch)
    assert (found["status"], found["in_progress_at"]) == ("in_progress", START + 920)


async def test_16_creates_are_limited_as_if_by_the_hour(simulation: Simulation) -> None:
    file = await simulation.upload(*TEN)
    simulation.engine.faults.add("create_limit", every=2, retry_after=90)
    answers = [await create(simulation, file) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 429, 200, 429]
    assert answers[1].headers["retry-after"] == "90"
    assert answers[1].json()["error"]["code"] == "rate_limit_exceeded"


async def test_16_creates_are_limited_by_the_hour(start: Callable[..., Simulation]) -> None:
    simulation = start(creates_per_hour=2)
    file = await simulation.upload(*TEN)
    answers = [await create(simulation, file) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert float(answers[2].headers["retry-after"]) > 0
    simulation.clock.advance(3_600)
    assert (await create(simulation, file)).status_code == 200


# --- progress


async def test_17_counts_lag(simulation: Simulation) -> None:
    batch = await begin(simulation, "wrong_counts", form="lag")
    found = [counts(await after(simulation, seconds, batch)) for seconds in (100, 100, 0)]
    assert found == [(10, 4, 0), (10, 5, 0), (10, 10, 0)]


async def test_17_counts_go_backwards(simulation: Simulation) -> None:
    batch = await begin(simulation, "wrong_counts", form="backwards")
    found = [counts(await after(simulation, seconds, batch))[1] for seconds in (80, 20, 20)]
    assert found == [6, 4, 10]


async def test_17_counts_are_null(simulation: Simulation) -> None:
    batch = await begin(simulation, "wrong_counts", form="null")
    found = [await after(simulation, seconds, batch) for seconds in (0, 60, 100)]
    assert [each["request_counts"] for each in found] == [None] * 3
    listed = (await raw(simulation, "GET", "/batches")).json()["data"]
    assert listed[0]["request_counts"] is None


@pytest.mark.parametrize("other", [("odd_fields", "absent"), ("wrong_counts", "null")])
async def test_17_counts_that_another_fault_took_stay_away(
    simulation: Simulation, other: tuple[str, str]
) -> None:
    simulation.engine.faults.add(other[0], form=other[1])
    batch = await begin(simulation, "wrong_counts", form="lag")
    assert (await after(simulation, 60, batch)).get("request_counts") is None


@pytest.mark.parametrize("ending", ["completed", "expired"])
async def test_18_a_batch_is_stuck_beyond_its_window(simulation: Simulation, ending: str) -> None:
    batch = await begin(simulation, "stuck", seconds=3_600, remaining=2, ending=ending)
    late = await after(simulation, DAY + 3_599, batch)
    assert late["expires_at"] < simulation.clock()
    assert (late["status"], counts(late)) == ("in_progress", (10, 8, 0))
    done = await after(simulation, 10, batch)
    assert (done["status"], counts(done)[1]) == (ending, 10 if ending == "completed" else 8)
    assert done["finalizing_at"] == START + DAY + 3_600
    assert done[f"{ending}_at"] == START + DAY + 3_605


async def test_19_finalizing_takes_long(simulation: Simulation) -> None:
    batch = await begin(simulation, "long_finalizing", seconds=3_600)
    found = await after(simulation, 3_700, batch)
    assert (found["status"], counts(found), found["output_file_id"]) == (
        "finalizing",
        (10, 10, 0),
        None,
    )
    assert (await after(simulation, 25, batch))["completed_at"] == START + 3_725


async def test_20_the_status_is_unknown(simulation: Simulation) -> None:
    batch = await begin(simulation, "unknown_status", status="paused", looks=2)
    seconds = (0, 0, 0, 200, 0, 0)
    found = [(await after(simulation, each, batch))["status"] for each in seconds]
    assert found == ["paused", "paused", "validating", "paused", "paused", "completed"]


async def test_21_fields_are_unknown(simulation: Simulation) -> None:
    batch = await begin(simulation, "odd_fields", form="unknown")
    found = await after(simulation, 200, batch)
    assert found["progress"] == {"percent": 50.0}
    assert (await simulation.client.batches.retrieve(batch)).status == "completed"


async def test_21_fields_are_absent(simulation: Simulation) -> None:
    batch = await begin(simulation, "odd_fields", form="absent")
    young = await look(simulation, batch)
    assert set(young) == {
        *("id", "object", "endpoint", "input_file_id", "completion_window", "status"),
        *("created_at", "expires_at"),
    }
    done = await after(simulation, 200, batch)
    assert "error_file_id" not in done
    assert "usage" not in done
    assert await ids(simulation, done["output_file_id"]) == [str(n) for n in range(10)]


async def test_22_a_read_goes_backwards(simulation: Simulation) -> None:
    batch = await begin(simulation, "stale_read")
    found = [await after(simulation, seconds, batch) for seconds in (200, 0, 0)]
    assert [each["status"] for each in found] == ["completed", "finalizing", "completed"]
    assert [bool(each["output_file_id"]) for each in found] == [True, False, True]
    assert found[1]["completed_at"] is None


# --- endings


async def test_23_a_batch_expires_in_the_middle(simulation: Simulation) -> None:
    batch = await begin(simulation, "early_expiry", share=0.4)
    done = await after(simulation, 125, batch)
    assert (done["status"], counts(done)) == ("expired", (10, 4, 0))
    assert done["expires_at"] <= done["expired_at"]
    assert len(await ids(simulation, done["output_file_id"])) == 4
    lines = await simulation.lines(done["error_file_id"])
    assert [line["error"]["code"] for line in lines] == ["batch_expired"] * 6


async def test_23_a_batch_without_pace_expires_too(start: Callable[..., Simulation]) -> None:
    simulation = start(pace=Pace().times(0))
    batch = await begin(simulation, "early_expiry", share=0.4)
    assert counts(await look(simulation, batch)) == (10, 4, 0)


async def test_24_lines_are_missing_when_a_batch_expires(simulation: Simulation) -> None:
    simulation.engine.faults.add("unlisted_lines")
    batch = await begin(simulation, "early_expiry", share=0.4)
    done = await after(simulation, 125, batch)
    assert (done["status"], counts(done), done["error_file_id"]) == ("expired", (10, 4, 0), None)
    assert len(await ids(simulation, done["output_file_id"])) == 4


async def test_24_lines_are_missing_when_a_batch_is_cancelled(simulation: Simulation) -> None:
    batch = await begin(simulation, "unlisted_lines")
    simulation.clock.advance(70)
    await raw(simulation, "POST", f"/batches/{batch}/cancel")
    done = await after(simulation, 100, batch)
    assert (done["status"], counts(done), done["error_file_id"]) == ("cancelled", (10, 5, 0), None)


async def test_25_a_cancel_loses_the_race(simulation: Simulation) -> None:
    batch = await begin(simulation, "cancel_race")
    simulation.clock.advance(70)
    cancelled = (await raw(simulation, "POST", f"/batches/{batch}/cancel")).json()
    assert (cancelled["status"], counts(cancelled)) == ("cancelling", (10, 5, 0))
    done = await after(simulation, 100, batch)
    assert (done["status"], counts(done)) == ("completed", (10, 10, 0))
    assert done["cancelling_at"] == START + 70
    assert done["completed_at"] == START + 130
    assert len(await ids(simulation, done["output_file_id"])) == 10


async def test_27_a_cancel_takes_25_minutes(simulation: Simulation) -> None:
    batch = await begin(simulation, "slow_cancel")
    simulation.clock.advance(70)
    await raw(simulation, "POST", f"/batches/{batch}/cancel")
    assert (await after(simulation, 1_559, batch))["status"] == "cancelling"
    assert (await after(simulation, 1, batch))["cancelled_at"] == START + 70 + 1_560


async def test_28_a_completed_batch_has_no_output_file(simulation: Simulation) -> None:
    batch = await begin(simulation, "no_output_file", times=1)
    done = await after(simulation, 200, batch)
    assert (done["status"], counts(done)) == ("completed", (10, 10, 0))
    assert done["output_file_id"] is None


async def test_28_a_batch_of_which_all_failed_has_no_output_file(simulation: Simulation) -> None:
    done = await simulation.finish(request_line("a", bad=1))
    found = await look(simulation, done.id)
    assert (found["status"], counts(found)) == ("completed", (1, 0, 1))
    assert found["output_file_id"] is None
    assert found["error_file_id"]


@pytest.mark.parametrize("form", ["null", "empty_text", "empty_file"])
async def test_29_there_are_no_errors_in_three_ways(simulation: Simulation, form: str) -> None:
    batch = await begin(simulation, "error_file", form=form)
    assert (await look(simulation, batch))["error_file_id"] is None
    found = (await after(simulation, 200, batch))["error_file_id"]
    if form == "empty_file":
        assert (await raw(simulation, "GET", f"/files/{found}/content")).content == b""
        assert (await raw(simulation, "GET", f"/files/{found}")).json()["bytes"] == 0
    else:
        assert found == {"null": None, "empty_text": ""}[form]


async def test_30_file_ids_come_late(simulation: Simulation) -> None:
    batch = await begin(simulation, "late_file_ids", looks=2)
    found = [await after(simulation, seconds, batch) for seconds in (200, 0, 0)]
    assert [each["status"] for each in found] == ["completed"] * 3
    assert [bool(each["output_file_id"]) for each in found] == [False, False, True]


async def test_31_a_batch_fails_in_the_middle(simulation: Simulation) -> None:
    batch = await begin(simulation, "server_failure", share=0.3)
    assert counts(await after(simulation, 119, batch)) == (10, 2, 0)
    failed = await after(simulation, 1, batch)
    assert (failed["status"], failed["failed_at"]) == ("failed", START + 120)
    assert counts(failed) == (10, 3, 0)
    assert failed["in_progress_at"]
    assert failed["errors"]["data"][0]["code"] == "server_error"
    assert (failed["output_file_id"], failed["error_file_id"]) == (None, None)


async def test_what_was_drawn_survives_a_restart(start: Callable[..., Simulation]) -> None:
    simulation = start()
    batch = await begin(simulation, "late_file_ids", looks=2)
    simulation.engine.faults.clear()
    assert (await after(simulation, 200, batch))["output_file_id"] is None
    simulation = start()
    found = [await look(simulation, batch) for _ in range(2)]
    assert [bool(each["output_file_id"]) for each in found] == [False, True]


async def test_a_batch_that_is_ended_by_hand_is_not_delayed(simulation: Simulation) -> None:
    simulation.engine.faults.add("long_finalizing")
    batch = await begin(simulation, "stuck")
    simulation.clock.advance(50)
    url = f"http://simulator/admin/batches/{batch}"
    await simulation.client._client.post(url, json={"status": "completed"})
    assert counts(await look(simulation, batch)) == (10, 10, 0)


async def test_a_thread_keeps_the_times_of_faults(start: Callable[..., Simulation]) -> None:
    simulation = start(background=True)
    batch = await begin(simulation, "stuck", seconds=60)
    simulation.clock.advance(DAY)
    while counts(await look(simulation, batch))[1] < 9:
        pass
    simulation.clock.advance(100)
    while (found := await look(simulation, batch))["status"] != "completed":
        pass
    assert found["completed_at"] == START + DAY + 65


# --- the list


async def listed(simulation: Simulation, **query: Any) -> dict[str, Any]:
    return (await raw(simulation, "GET", "/batches", params=query)).json()


async def test_46_batches_appear_between_two_pages(simulation: Simulation) -> None:
    own = [(await simulation.submit(*TEN)).id for _ in range(4)]
    first = await listed(simulation, limit=2)
    simulation.engine.faults.add("inserted_batch")
    newest = await simulation.submit(*TEN)
    second = await listed(simulation, limit=2, after=first["last_id"])
    found = [batch["id"] for page in (first, second) for batch in page["data"]]
    assert found == own[::-1]
    top = await listed(simulation, limit=3)
    # Both inserted ones are newer than all there was.
    assert top["data"][2]["id"] == newest.id


async def test_47_a_new_batch_is_not_listed(simulation: Simulation) -> None:
    old = (await simulation.submit(*TEN)).id
    new = await begin(simulation, "list_lag", seconds=30)
    assert [batch["id"] for batch in (await listed(simulation))["data"]] == [old]
    assert (await look(simulation, new))["id"] == new
    simulation.clock.advance(30)
    assert [batch["id"] for batch in (await listed(simulation))["data"]] == [new, old]


async def test_48_batches_of_others_stand_in_between(simulation: Simulation) -> None:
    simulation.engine.faults.add("other_tenants", count=3)
    own = [(await simulation.submit(*TEN)).id for _ in range(2)]
    found: list[dict[str, Any]] = []
    after_id: str | None = None
    more = True
    while more:
        page = await listed(simulation, limit=3, **({"after": after_id} if after_id else {}))
        found += page["data"]
        more, after_id = page["has_more"], page["last_id"]
    assert [batch["id"] in own for batch in found] == [True, *[False] * 3, True, *[False] * 3]
    assert {json.dumps(batch["metadata"]) for batch in found if batch["id"] not in own} == {
        '{"team": "others"}'
    }


@pytest.mark.parametrize(
    ("limit", "status", "count", "more"),
    [(0, 200, 0, True), (1, 200, 1, True), (100, 200, 3, False), (101, 400, 0, False)],
)
async def test_49_the_limit_has_bounds(
    simulation: Simulation, limit: int, status: int, count: int, *, more: bool
) -> None:
    for _ in range(3):
        await simulation.submit(*TEN)
    answer = await raw(simulation, "GET", "/batches", params={"limit": limit})
    assert answer.status_code == status
    if status == 200:
        assert (len(answer.json()["data"]), answer.json()["has_more"]) == (count, more)
    else:
        assert answer.json()["error"]["code"] == "integer_above_max_value"
    below = await raw(simulation, "GET", "/batches", params={"limit": -1})
    assert "Expected a value >= 0, but got -1" in below.json()["error"]["message"]


async def test_49_a_page_is_shorter_than_asked_for(simulation: Simulation) -> None:
    own = [(await simulation.submit(*TEN)).id for _ in range(3)]
    simulation.engine.faults.add("short_pages", maximum=1)
    page = await listed(simulation, limit=100)
    assert (len(page["data"]), page["has_more"]) == (1, True)
    assert [b.id async for b in simulation.client.batches.list(limit=100)] == own[::-1]
    assert (await raw(simulation, "GET", "/batches", params={"limit": 101})).status_code == 400


async def test_a_refused_upload_leaves_nothing(simulation: Simulation) -> None:
    simulation.engine.faults.add("upload_refused", times=1)
    assert (await upload(simulation, *TEN)).status_code == 400
    assert (await upload(simulation, *TEN)).status_code == 200
