"""The upstream against a real server in another process; only the clock is the test's own."""

from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import pytest
from upstream import Rule, UpstreamProcess

from batchspec.simulator import Upstream
from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.upstream.port import Stopped
from batchspec.simulator.upstream.waiting import CAP, LONGEST, backoff, retry_after

from .conftest import ENDPOINT, START

pytestmark = pytest.mark.anyio
Make = Callable[..., Any]


class Time:
    """A clock that whoever sleeps moves on."""

    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def upstream(server: UpstreamProcess, time: Time) -> AsyncIterator[Make]:
    """Makes upstreams at the server."""
    async with anyio.create_task_group() as group:
        opened: list[anyio.Event] = []

        async def keep(made: Upstream, end: anyio.Event, *, task_status: Any) -> None:
            async with made:
                task_status.started()
                await end.wait()

        async def make(**options: Any) -> Upstream:
            settings = {"clock": time, "sleep": time.sleep, "random": Random(1), **options}
            made = Upstream(settings.pop("base_url", server.base_url), **settings)
            opened.append(anyio.Event())
            await group.start(keep, made, opened[-1])
            return made

        yield make
        for end in opened:
            end.set()


def body(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


async def ask(upstream: Upstream, text: str = "Hello", **options: Any) -> Reply:
    return await upstream.ask(ENDPOINT, body(text), **options)


async def test_an_answer_comes_as_it_is(server: UpstreamProcess, upstream: Make) -> None:
    reply = await ask(await upstream(api_key="secret"))
    assert reply.status == 200
    assert reply.body is not None
    assert reply.body["choices"][0]["message"]["content"]
    assert reply.usage.output_tokens == reply.body["usage"]["completion_tokens"] > 0
    assert server.seen["authorization"] == "Bearer secret"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
async def test_what_may_pass_is_asked_again(
    server: UpstreamProcess, upstream: Make, time: Time, status: int
) -> None:
    server.rules(Rule(status=status, times=3))
    assert (await ask(await upstream())).status == 200
    assert server.seen["calls"] == 4
    assert [0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(time.slept)] == [True] * 3


async def test_tries_are_capped_and_the_last_answer_is_the_lines(
    server: UpstreamProcess, upstream: Make
) -> None:
    server.rules(Rule(status=500, body='{"error":{"message":"out of memory"}}'))
    reply = await ask(await upstream(retries=2))
    assert (reply.status, reply.body) == (500, {"error": {"message": "out of memory"}})
    assert server.seen["calls"] == 3


@pytest.mark.parametrize("status", [400, 403, 404, 422])
async def test_what_will_not_pass_is_the_lines_at_once(
    server: UpstreamProcess, upstream: Make, status: int
) -> None:
    server.rules(Rule(status=status, body='{"error":{"message":"no such model"}}'))
    reply = await ask(await upstream())
    assert (reply.status, reply.body) == (status, {"error": {"message": "no such model"}})
    assert server.seen["calls"] == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": formatdate(START + 40, usegmt=True)}, 40.0),
        ({"retry-after": formatdate(START - 40, usegmt=True)}, 0.0),
        ({"retry-after": "1e30"}, LONGEST),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "-5"}, 0.0),
        ({}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, START) == seconds


def test_backoff_doubles_up_to_a_cap() -> None:
    waits = [backoff(n, Random(1)) for n in range(1, 2_000)]
    assert all(earlier < later for earlier, later in pairwise(waits[:7]))
    assert max(waits) <= CAP


async def test_retry_after_holds_everybody(
    server: UpstreamProcess, upstream: Make, time: Time
) -> None:
    server.rules(Rule(status=429, times=1, headers={"retry-after": "30"}))
    told: list[str] = []
    made = await upstream(concurrency=1, on_hold=told.append)
    answered: list[float] = []

    async def asking() -> None:
        await ask(made)
        answered.append(time.now)

    async with anyio.create_task_group() as group:
        group.start_soon(asking)
        group.start_soon(asking)
    assert answered == [START + 30, START + 30]
    assert time.slept == [30.0]
    assert told == [f"{made.base_url} asks to wait for 30 s (HTTP 429)"]


async def test_a_busy_upstream_that_answers_others_costs_no_try(
    server: UpstreamProcess, upstream: Make, time: Time
) -> None:
    server.rules(Rule(match="unlucky", status=429, times=9, headers={"retry-after": "1"}))

    async def sleep(seconds: float) -> None:
        time.now += seconds
        assert (await ask(made, "lucky")).status == 200

    made = await upstream(retries=1, concurrency=2, sleep=sleep)
    assert (await ask(made, "unlucky")).status == 200
    assert server.seen["calls"] == 19


async def test_a_busy_upstream_that_answers_nobody_is_given_up(
    server: UpstreamProcess, upstream: Make
) -> None:
    server.rules(Rule(status=429, headers={"retry-after": "1"}, body='{"error":{}}'))
    assert (await ask(await upstream(retries=3))).status == 429
    assert server.seen["calls"] == 4


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (Rule(drop=True), "connection_lost"),
        (Rule(body='{"choices": [', headers={}), "invalid_answer"),
        (Rule(body="[1]"), "invalid_answer"),
        (Rule(body="", headers={"content-type": "text/plain"}), "invalid_answer"),
        (Rule(body="<html>Hello</html>", headers={"content-type": "text/html"}), "invalid_answer"),
        (Rule(body="{}", headers={"content-encoding": "gzip"}), "invalid_answer"),
        (Rule(body='{"choices": []}'), "no_answer"),
        (Rule(body='{"choices": [{"message": null}]}'), "no_answer"),
        (Rule(body='{"error": {"message": "out of memory"}}'), "no_answer"),
    ],
)
async def test_answers_without_sense_are_what_they_are(
    server: UpstreamProcess, upstream: Make, rule: Rule, code: str
) -> None:
    server.rules(rule)
    reply = await ask(await upstream(retries=1))
    assert (reply.status, reply.body) == (0, None)
    assert reply.error is not None
    assert reply.error["code"] == code
    assert server.seen["calls"] == 2
    rule.times = 1
    server.rules(rule)
    assert (await ask(await upstream(retries=1))).status == 200


async def test_an_error_page_is_put_into_an_envelope(
    server: UpstreamProcess, upstream: Make
) -> None:
    page = "<html>\n<h1>404 Not Found</h1></html>"
    server.rules(Rule(status=404, body=page, headers={"content-type": "text/html"}))
    reply = await ask(await upstream())
    assert reply.status == 404
    assert reply.body is not None
    assert "<h1>404 Not Found</h1>" in reply.body["error"]["message"]


async def test_a_huge_answer_is_not_read(server: UpstreamProcess, upstream: Make) -> None:
    server.rules(Rule(body=f'{{"a":"{"x" * 100_000}"}}'))
    reply = await ask(await upstream(max_answer=50_000))
    assert reply.error is not None
    assert reply.error["code"] == "answer_too_large"


async def test_a_request_may_not_take_for_ever(server: UpstreamProcess, upstream: Make) -> None:
    server.rules(Rule(hold=True))
    reply = await ask(await upstream(timeout=0.05, retries=1))
    assert reply.error is not None
    assert reply.error["code"] == "request_timeout"
    assert server.wait(calls=2)["calls"] == 2


async def test_no_more_requests_run_than_slots_there_are(
    server: UpstreamProcess, upstream: Make
) -> None:
    made = await upstream(concurrency=3)
    server.rules(Rule(hold=True))
    async with anyio.create_task_group() as group:
        for n in range(10):
            group.start_soon(ask, made, f"line {n}")
        await anyio.to_thread.run_sync(lambda: server.wait(active=3))
        await anyio.to_thread.run_sync(server.release)
    assert (server.seen["most"], server.seen["calls"]) == (3, 10)


class TestAway:
    async def test_an_upstream_that_never_answered_is_an_outage_at_once(
        self, server: UpstreamProcess, upstream: Make
    ) -> None:
        server.kill()
        told: list[str] = []
        made = await upstream(on_outage=told.append, api_key="secret")
        reply = await ask(made, patient=False)
        assert reply.status == 503
        assert made.outage == told[0]
        assert server.base_url in made.outage
        server.start()

    async def test_one_that_answered_before_is_waited_for(
        self, server: UpstreamProcess, upstream: Make, time: Time
    ) -> None:
        seen: list[bool] = []

        async def sleep(seconds: float) -> None:
            seen.append(made.outage is not None)
            time.now += seconds
            if len(seen) == 12:
                await anyio.to_thread.run_sync(server.start)

        made = await upstream(patience=60, sleep=sleep, retries=0)
        await ask(made)
        server.kill()
        started = time.now
        assert (await ask(made)).status == 200
        # It cost no try, and counted as an outage from a minute on.
        assert made.outage is None
        assert seen[0] is False
        assert seen[-1] is True
        assert time.now - started > 60

    async def test_a_base_url_that_leads_nowhere_is_no_fault_of_a_line(
        self, server: UpstreamProcess, upstream: Make
    ) -> None:
        made = await upstream(base_url=server.base_url.removesuffix("/v1"))
        reply = await ask(made, patient=False)
        assert reply.status == 503
        assert "end in /v1" in str(made.outage)

    async def test_a_refused_key_is_no_fault_of_a_line(
        self, server: UpstreamProcess, upstream: Make, time: Time
    ) -> None:
        server.rules(Rule(status=401, times=2))
        made = await upstream(retries=0)
        assert (await ask(made)).status == 200
        assert len(time.slept) == 2

    async def test_a_key_that_was_sent_is_refused_with_the_words_of_the_upstream(
        self, server: UpstreamProcess, upstream: Make
    ) -> None:
        server.rules(Rule(status=401, body='{"error":{"message":"No such key: secret"}}'))
        made = await upstream(api_key="secret")
        await ask(made, patient=False)
        assert "refuses the key that was sent (HTTP 401: No such key: …)" in str(made.outage)
        assert "set the environment variable" not in str(made.outage)

    async def test_no_word_gives_the_key_away(
        self, server: UpstreamProcess, upstream: Make
    ) -> None:
        server.kill()
        url = server.base_url.replace("//", "//user:password@")
        made = await upstream(base_url=url, api_key="secret")
        reply = await ask(made, patient=False)
        assert "password" not in f"{made.outage}{reply}{made.base_url}"
        assert "secret" not in f"{made.outage}{reply}{made.base_url}"
        server.start()


async def test_whoever_waits_is_let_go_when_all_stops(
    server: UpstreamProcess, upstream: Make
) -> None:
    server.rules(Rule(status=429, headers={"retry-after": "3000"}))
    made = await upstream(sleep=anyio.sleep)
    async with anyio.create_task_group() as group:

        async def asking() -> None:
            with pytest.raises(Stopped):
                await ask(made)

        group.start_soon(asking)
        await anyio.to_thread.run_sync(lambda: server.wait(calls=1))
        made.stop()
