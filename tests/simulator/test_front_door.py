"""Keys, and the headers of the service."""

import re
from collections.abc import Callable

import httpx2
import openai
import pytest

from batchspec.simulator import AppTransport, CallableModel, HTTPFailure

from .conftest import KEY, Simulation

pytestmark = pytest.mark.anyio
BODY = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello there"}]}


async def headers_of(
    simulation: Simulation, method: str, path: str, **more: object
) -> httpx2.Headers:
    answer = await simulation.client._client.request(method, f"http://simulator{path}", **more)  # type: ignore[arg-type]
    return answer.headers


@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer "}, {"authorization": "Basic abc"}])
async def test_calls_without_a_key_are_refused(
    simulation: Simulation, sent: dict[str, str]
) -> None:
    async with httpx2.AsyncClient(transport=AppTransport(simulation.app), headers=sent) as client:
        for method, path in (("GET", "models"), ("POST", "files"), ("GET", "nowhere")):
            answer = await client.request(method, f"http://simulator/v1/{path}")
            assert answer.status_code == 401
            error = answer.json()["error"]
            assert error["message"].startswith("You didn't provide an API key.")
            assert (error["type"], error["code"]) == ("invalid_request_error", None)
            assert answer.headers["x-request-id"].startswith("req_")


async def test_any_key_will_do(simulation: Simulation) -> None:
    for key in ("sk-1", "anything at all"):
        client = simulation.client.with_options(api_key=key)
        client._client.headers.pop("authorization", None)
        assert [model.id async for model in client.models.list()]
    with pytest.raises(openai.AuthenticationError):
        await simulation.client.models.list(extra_headers={"Authorization": "Bearer "})


async def test_every_answer_is_marked(simulation: Simulation) -> None:
    for method, path in (("GET", "/v1/batches"), ("GET", "/v1/files/none"), ("PUT", "/v1/files")):
        headers = await headers_of(simulation, method, path)
        assert headers["openai-version"] == "2020-10-01"
        assert headers["openai-organization"] == "org-simulated"
        assert headers["openai-processing-ms"] == "0"
        assert re.fullmatch("req_[0-9a-f]{32}", headers["x-request-id"])
        assert "x-ratelimit-limit-requests" not in headers


async def test_live_answers_tell_limits(simulation: Simulation) -> None:
    headers = await headers_of(simulation, "POST", "/v1/chat/completions", json=BODY)
    assert headers["x-ratelimit-limit-requests"] == "10000"
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert headers["x-ratelimit-reset-requests"] == "6ms"
    used = 2_000_000 - int(headers["x-ratelimit-remaining-tokens"])
    answer = await simulation.client._client.post(
        "http://simulator/v1/chat/completions", json=BODY, headers=KEY
    )
    assert used == answer.json()["usage"]["total_tokens"]


async def test_what_the_model_raises_may_have_headers(start: Callable[..., Simulation]) -> None:
    def answer(_: object) -> str:
        raise HTTPFailure(429, "Slow down.", headers={"retry-after": "7"})

    simulation = start(model=CallableModel(answer))
    with pytest.raises(openai.RateLimitError) as refused:
        await simulation.client.chat.completions.create(**BODY)  # type: ignore[call-overload]
    assert refused.value.response.headers["retry-after"] == "7"
