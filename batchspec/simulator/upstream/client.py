"""An upstream: asks a live endpoint over HTTP, again where that may help, many at a time."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Self

import anyio
import httpx2
from pydantic_core import to_json

from batchspec.simulator.addresses import is_loopback
from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.upstream.reading import Again, Away, complaint, failure, read
from batchspec.simulator.upstream.waiting import Sleep, Waiting, backoff
from batchspec.simulator.wire import Clock, HTTPFailure, Json

MAX_ANSWER = 64 * 2**20
_LONG = 10.0
"""Seconds of a wait that people are told of."""
_CONNECT = 10.0
"""Seconds until a host that does not answer counts as away."""


class Upstream:
    """Any server that answers the endpoints of batches at once: Ollama, vLLM, llama.cpp and others.

    Strategy: what may pass is tried again, each line for itself; what concerns everybody (too many
    requests, a server that is not running, a refused key) pauses all. An upstream that is away is
    nobody's fault: it costs no line a try, and `outage` says so for people.

    Args:
        base_url: Up to and with `/v1`.
        api_key: Sent as a bearer token; never shown.
        concurrency: Requests under way at a time.
        timeout: Seconds a request may take.
        retries: Tries after the first one. A busy upstream that answers others costs no try.
        patience: Seconds an upstream that has answered before may be away until it is an outage.
        max_answer: Bytes of the longest answer that is read.
        on_outage: Told why, once per outage.
        on_hold: Told, when the upstream asks everybody to wait long, why and how long.
        clock: Says the time in unix seconds.
        sleep: Waits so many seconds of that clock.
        random: Spreads tries over time.
    """

    def __init__(  # noqa: PLR0913  one keyword per way in which upstreams differ
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        concurrency: int = 8,
        timeout: float = 600.0,
        retries: int = 5,
        patience: float = 60.0,
        max_answer: int = MAX_ANSWER,
        on_outage: Callable[[str], None] = lambda _: None,
        on_hold: Callable[[str], None] = lambda _: None,
        clock: Clock = time.time,
        sleep: Sleep = anyio.sleep,
        random: Random | None = None,
    ) -> None:
        self.base_url = shown(base_url)
        self.concurrency = concurrency
        self.outage: str | None = None
        """Why nothing can be answered, once that is beyond waiting."""
        self._url = base_url.rstrip("/")
        self._key = api_key
        self._timeout = timeout
        self._retries = retries
        self._patience = patience
        self._max_answer = max_answer
        self._on_outage = on_outage
        self._on_hold = on_hold
        self._clock = clock
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311  it spreads load, it hides nothing
        self._answers = 0
        self._met = False
        self._away_since: float | None = None
        self._away_tries = 0

    async def __aenter__(self) -> Self:
        """Open connections in the event loop that will ask.

        Raises:
            OSError: The certificates that HTTPS is verified with cannot be read.
        """
        self._waiting = Waiting(self._clock, self._sleep)
        self._slots = anyio.Semaphore(self.concurrency)
        self._idle: list[httpx2.AsyncClient] = []
        self._stack = AsyncExitStack()
        # Made once, since it takes longer than many requests; without TLS nothing is verified.
        tls = httpx2.URL(self._url).scheme == "https"
        try:
            self._verify = httpx2.create_ssl_context() if tls else False
        except OSError as error:
            raise OSError(
                f"the certificates to verify {self.base_url} with cannot be read "
                f"({error.strerror or error}); correct or unset SSL_CERT_FILE and SSL_CERT_DIR"
            ) from error
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def _client(self) -> httpx2.AsyncClient:
        """Make a client for one request at a time.

        One with a pool looks at all its connections for every request, which takes longer than the
        request when there are many.
        """
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        client = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(self._timeout, connect=min(_CONNECT, self._timeout)),
            verify=self._verify,
            # A proxy of the environment is meant for other machines.
            trust_env=not is_loopback(httpx2.URL(self._url).host),
        )
        return await self._stack.enter_async_context(client)

    def stop(self) -> None:
        """Begin no further try; requests that are under way may end."""
        self._waiting.stop()

    async def turn(self) -> None:
        """Return once a request may be sent; raises `Stopped` when none may be any more."""
        await self._waiting.turn()

    async def ask(
        self, endpoint: str, body: Json, custom_id: str | None = None, *, patient: bool = True
    ) -> Reply:
        """Ask until there is an answer, or until trying again is pointless.

        Args:
            endpoint: The path, as `/v1/chat/completions`.
            body: Of the request.
            custom_id: Of the line; the upstream is not told.
            patient: Wait for an upstream that is away; otherwise say that it is.

        Raises:
            Stopped: There is no answer, and nothing more may be asked.
        """
        del custom_id
        content, url = to_json(body), self._url + endpoint.removeprefix("/v1")
        tries = 0
        while True:
            answers = self._answers
            found = await self._try(url, content)
            if isinstance(found, Reply) and found.status == 404 and not self._answers:
                found = await self._astray() or found
            if isinstance(found, Reply):
                self._present(answered=True)
                return found
            if isinstance(found, Away):
                self._away(found.reason)
                if not patient:
                    return Reply(
                        503, HTTPFailure(503, f"The upstream is away: {found.reason}.").body
                    )
                continue
            self._present()
            # A busy upstream that answered somebody else meanwhile is working this one off.
            tries += not (found.throttled and self._answers > answers)
            if tries > self._retries:
                return found.reply
            if found.wait is None:
                await self._waiting.pause(backoff(max(tries, 1), self._random))

    async def models(self) -> Reply:
        """List the upstream's models; what went wrong is an error of this server, a 502."""
        found = await self._try(f"{self._url}/models", None)
        if isinstance(found, Again):
            found = found.reply
        if isinstance(found, Away) or found.body is None:
            told = found.reason if isinstance(found, Away) else found.error
            return Reply(502, HTTPFailure(502, f"The models cannot be listed: {told}").body)
        return found

    async def _astray(self) -> Away | None:
        """Tell a base URL that leads nowhere from a model that does not exist."""
        try:
            async with self._slot() as client:
                models = await client.get(f"{self._url}/models")
        except httpx2.HTTPError:
            return None
        if models.status_code != 404:
            return None
        return Away(f"there is no API at {self.base_url} (HTTP 404); most base URLs end in /v1")

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[httpx2.AsyncClient]:
        """Wait for a place and for the end of a pause."""
        async with self._slots:
            await self._waiting.turn()
            client = self._idle.pop() if self._idle else await self._client()
            try:
                yield client
            finally:
                self._idle.append(client)

    async def _try(self, url: str, content: bytes | None) -> Reply | Again | Away:
        try:
            async with self._slot() as client:
                with anyio.fail_after(self._timeout):
                    return await self._call(client, url, content)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            return Away(
                f"nothing answers at {self.base_url} ({_words(error)}); start the server there, "
                "or correct the base URL"
            )
        except (httpx2.TimeoutException, TimeoutError):
            message = f"This request timed out: no answer came in {self._timeout:g} s."
            return Again(Reply(0, None, error={"code": "request_timeout", "message": message}))
        except httpx2.DecodingError as error:
            return Again(failure("invalid_answer", f"a body that cannot be decoded ({error})"))
        except httpx2.HTTPError as error:
            return Again(failure("connection_lost", f"no whole answer ({_words(error)})"))

    async def _call(
        self, client: httpx2.AsyncClient, url: str, content: bytes | None
    ) -> Reply | Again | Away:
        async with client.stream(
            "GET" if content is None else "POST", url, content=content
        ) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self._max_answer:
                    return failure("answer_too_large", f"more than {self._max_answer:,} bytes")
                parts.append(part)
        if response.status_code == 401:
            return Away(self._refused(b"".join(parts)))
        found = read(response.status_code, response.headers, b"".join(parts), self._clock())
        if isinstance(found, Again) and found.wait is not None:
            self._wait(found)
        return found

    def _wait(self, found: Again) -> None:
        """Let nobody ask for the time that the upstream wants."""
        seconds = found.wait or 0.0
        if seconds >= _LONG and not self._waiting.held:
            status = f"HTTP {found.reply.status}" if found.reply.status else "Retry-After"
            self._on_hold(f"{self.base_url} asks to wait for {seconds:g} s ({status})")
        self._waiting.hold(seconds)

    def _refused(self, content: bytes) -> str:
        if not self._key:
            return (
                f"{self.base_url} refuses the key (HTTP 401); set the environment variable with "
                "the key, and name it as `api_key_env`"
            )
        words = complaint(content).replace(self._key, "…")
        told = f"HTTP 401: {words}" if words else "HTTP 401"
        return f"{self.base_url} refuses the key that was sent ({told}); correct the key"

    def _present(self, *, answered: bool = False) -> None:
        self._answers += answered
        self._met = True
        self._away_since, self._away_tries, self.outage = None, 0, None

    def _away(self, reason: str) -> None:
        if self._waiting.held:  # others found out at the same time
            return
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
        self._away_tries += 1
        self._waiting.hold(backoff(self._away_tries, self._random))
        patience = self._patience if self._met else 0.0
        if self.outage is None and now - self._away_since >= patience:
            self.outage = reason
            self._on_outage(reason)


def shown(url: str) -> str:
    """Return a URL without what gives access."""
    return str(httpx2.URL(url).copy_with(username=None, password=None, query=None)).rstrip("/")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
