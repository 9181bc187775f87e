"""Putting adapters together: which provider is which client, real or served in this process."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio

from batchspec.config import Settings
from batchspec.errors import ConfigurationError, UsageError
from batchspec.ports import (
    Client,
    Provider,
)
from batchspec.providers.openai.wire import ChatCompletionsWire
from batchspec.reconcile.observe import Pace
from batchspec.store.lookup import JobLookup

if TYPE_CHECKING:
    from starlette.applications import Starlette

SIMULATION = "simulation"
"""The environment of `--simulate`, so that no simulated answer is mistaken for a paid one."""
_SIMULATED_POLL = 0.1


def endpoints(settings: Settings) -> dict[str, str]:
    """Return the endpoint of every provider's requests."""
    return dict.fromkeys(settings.providers, ChatCompletionsWire.endpoint)


def make_providers(settings: Settings) -> dict[str, Provider]:
    """Return every configured provider, not yet connected: codecs and limits."""
    return {
        name: Provider(
            name=name,
            client=cast("Client", Unconnected(name)),
            wire=ChatCompletionsWire(),
            max_requests=min(own.limits.max_requests, ChatCompletionsWire.max_requests),
            max_bytes=min(own.limits.max_bytes, ChatCompletionsWire.max_bytes),
        )
        for name, own in settings.providers.items()
    }


class Unconnected:
    """Stands in a provider that nothing may be sent to; using it is a bug of ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, call: str) -> Callable[..., object]:
        raise AssertionError(f"provider {self._name!r} was asked for {call} before it is connected")


@dataclass(slots=True)
class Connections:
    """Connects providers when something is to be sent; closes what was opened."""

    settings: Settings
    directory: Path
    """The state folder of the environment; the embedded server lives in it."""
    root: Path
    simulated: bool
    stack: ExitStack
    _client: Client | None = None

    def connect(self, provider: Provider) -> Provider:
        """Return a provider with a client; one that has its client already stays as it is.

        Raises:
            ConfigurationError: Its key is missing, or the embedded server's answers are not right.
        """
        if not isinstance(provider.client, Unconnected):
            return provider
        if self.simulated:
            return replace(provider, client=self._embedded())
        from batchspec.providers.openai.client import OpenAIClient  # noqa: PLC0415 - slow SDK

        key = self.settings.api_key(provider.name).get_secret_value()
        client: Client = OpenAIClient(api_key=key, base_url=self.settings.base_url(provider.name))
        return replace(provider, client=client)

    def pace(self) -> Pace:
        """Return how often to look."""
        if self.simulated:
            return Pace(poll=_SIMULATED_POLL, max_poll=1.0, grace=0.0)
        own = self.settings
        return Pace(poll=own.poll_interval, max_poll=own.max_poll_interval, grace=own.adopt_grace)

    def _embedded(self) -> Client:
        if self._client is None:
            self._client = self._in_process()
        return self._client

    def _in_process(self) -> Client:
        from batchspec.providers.openai.client import OpenAIClient  # noqa: PLC0415 - slow SDK
        from batchspec.simulator import AppTransport  # noqa: PLC0415 - only here

        return OpenAIClient(
            api_key="simulated",
            base_url="http://simulator/v1",
            transport=AppTransport(self._app()),
        )

    def _app(self) -> "Starlette":
        from batchspec.simulator import Pace as ServerPace  # noqa: PLC0415 - only here
        from batchspec.simulator import create_app, load_answers  # noqa: PLC0415 - only here

        own = self.settings.simulator
        jobs = self.stack.enter_context(JobLookup(self.directory))
        try:
            model = load_answers(own.answers, root=self.root, job_of=jobs) if own.answers else None
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"simulator.answers is not right: {error}") from error
        app = create_app(
            self.directory / "simulator", model=model, pace=ServerPace().times(own.pace)
        )
        self.stack.callback(app.state.engine.close)
        return app


def outside_a_loop() -> None:
    """Refuse to block a running event loop.

    Raises:
        UsageError: One runs in this thread.
    """
    try:
        anyio.get_current_task()
    except RuntimeError:  # there is no loop
        return
    raise UsageError("An event loop is running here: use `await project.apply_async()`.")
