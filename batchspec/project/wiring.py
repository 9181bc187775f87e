"""Putting adapters together: which provider is which client, real or served in this process."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio

from batchspec.config import LiveSettings, ProviderSettings, Settings
from batchspec.errors import ConfigurationError, UsageError
from batchspec.plan.changes import JobPlan
from batchspec.ports import (
    Client,
    Provider,
    Wire,
)
from batchspec.ports.providers import live_place
from batchspec.pricing import PriceList
from batchspec.project.accounts import account_of, without_secrets
from batchspec.project.recording import (
    FileRecorder,
    open_recordings,
    replay_note,
    replaying,
)
from batchspec.providers.openai.embeddings import EmbeddingsWire
from batchspec.providers.openai.responses import ResponsesWire
from batchspec.providers.openai.wire import ChatCompletionsWire
from batchspec.reconcile.observe import Pace
from batchspec.state.records import LoneRequest
from batchspec.store.lookup import JobLookup

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from batchspec.simulator import Faults, RecordedModel

SIMULATION = "simulation"
"""The environment of `--simulate`, so that no simulated answer is mistaken for a paid one."""
_SIMULATED_POLL = 0.1
_LOCAL_PACE = Pace(poll=0.2, max_poll=2.0, grace=0.0)
_LIVE_WIRE = ChatCompletionsWire(renamed={})
"""Not every server of one's own knows the newer name of `max_tokens`."""
_OFFICIAL = "https://api.openai.com/v1"
_FOREVER = 10 * 365 * 86_400.0
"""Seconds until a batch against an endpoint of the user's own expires."""


WIRES: Mapping[str, Wire] = {
    wire.endpoint: wire for wire in (ChatCompletionsWire(), ResponsesWire(), EmbeddingsWire())
}
"""What providers speak, by endpoint."""


def _wires(own: ProviderSettings) -> Mapping[str, Wire]:
    return {**WIRES, _LIVE_WIRE.endpoint: _LIVE_WIRE} if isinstance(own, LiveSettings) else WIRES


def endpoints(settings: Settings) -> dict[str, str]:
    """Return the endpoint to which every provider's requests go."""
    return {name: own.endpoint for name, own in settings.providers.items()}


def make_providers(settings: Settings) -> dict[str, Provider]:
    """Return every configured provider, not yet connected: codecs and limits."""
    return {
        name: Provider(
            name=name,
            client=cast("Client", Unconnected(name)),
            wires=_wires(own),
            max_requests=min(own.limits.max_requests, ChatCompletionsWire.max_requests),
            max_bytes=min(own.limits.max_bytes, ChatCompletionsWire.max_bytes),
            canary=own.limits.canary,
            min_requests=own.limits.min_requests,
            lone_request=_lone(own),
            max_enqueued_tokens=own.limits.max_enqueued_tokens,
        )
        for name, own in settings.providers.items()
    }


def _lone(own: ProviderSettings) -> LoneRequest:
    """Return what becomes of lone requests; one by one is how a live endpoint is asked anyway."""
    lone = own.limits.lone_request
    return "batch" if lone == "live" and isinstance(own, LiveSettings) else lone


def price_list(settings: Settings) -> PriceList:
    """Return what tokens cost: as configured, as listed, or nothing on the user's own machine."""
    providers = settings.providers.items()
    free = frozenset(name for name, own in providers if isinstance(own, LiveSettings))
    return PriceList({name: own.prices for name, own in providers}, free)


def placed(plans: Sequence[JobPlan], settings: Settings) -> list[JobPlan]:
    """Return the plans with the live endpoints their batches run against in this process."""
    live = {
        name: without_secrets(own.base_url)
        for name, own in settings.providers.items()
        if isinstance(own, LiveSettings)
    }
    return [replace(plan, runs_at=live.get(plan.model.partition(":")[0])) for plan in plans]


def _upstream(own: LiveSettings) -> dict[str, Any]:
    return own.model_dump(include={"base_url", "concurrency", "timeout", "retries", "patience"})


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
    retries: int | None = None
    """How often the SDK repeats a call by itself; None: as it likes to."""
    stack: ExitStack = field(default_factory=ExitStack)
    local: dict[str, Pace] = field(default_factory=dict[str, Pace])
    """How often to look at batches that run in this process, by provider."""
    _drops: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    warn: Callable[[str], None] = lambda _: None
    """Told what a person who waits should know; called from any thread."""
    _client: Client | None = None
    _replays: "list[RecordedModel]" = field(default_factory=list["RecordedModel"])

    def connect(self, provider: Provider, *, live: bool = False) -> Provider:
        """Return a provider with a client; one that has its client already stays as it is.

        Args:
            provider: Of the configuration.
            live: Whether batches of it run in this process, at its live endpoint.

        Raises:
            ConfigurationError: Its key is missing, or the embedded server's answers are not right.
        """
        if not isinstance(provider.client, Unconnected):
            return provider
        if self.simulated:
            return replace(provider, client=self._embedded(), live=self._embedded())
        key = self.settings.api_key(provider.name)
        secret = None if key is None else key.get_secret_value()
        own = self.settings.provider(provider.name)
        if isinstance(own, LiveSettings):
            return replace(provider, client=self._live(provider.name, _upstream(own), secret))
        from batchspec.providers.openai.client import OpenAIClient  # noqa: PLC0415 - slow SDK

        url = self.settings.base_url(provider.name)
        client: Client = OpenAIClient(api_key=secret or "", base_url=url, retries=self.retries)
        account = account_of(self.settings, provider.name)
        beside = None
        if live or (provider.lone_request == "live" and provider.min_requests > 1):
            where = {"base_url": url or _OFFICIAL}
            beside = self._live(live_place(provider.name), where, secret)
        return replace(provider, client=client, live=beside, account=account)

    def account(self, provider: Provider) -> str | None:
        """Return the account a provider is used with; None where batches run in this process.

        Raises:
            ConfigurationError: Its key is missing.
        """
        if not isinstance(provider.client, Unconnected):
            return provider.account
        return None if self.simulated else account_of(self.settings, provider.name)

    def close(self) -> None:
        """Close what was opened; requests that a live endpoint is answering get a moment to end."""
        self.stack.close()

    def drop(self) -> None:
        """Let `close`, which another thread is in, wait for no request."""
        for drop in self._drops:
            drop()

    def recorders(self) -> dict[str, FileRecorder]:
        """Open the files to which answers of providers are added.

        Raises:
            ConfigurationError: A file cannot be read, or not be added to.
        """
        if self.simulated:
            return {}
        recordings = open_recordings(self.settings, self.root, self.stack, adding=True)
        return {name: FileRecorder(recording) for name, recording in recordings.items()}

    def note(self) -> str | None:
        """Return what there is to say in the end."""
        return replay_note(self._replays)

    def pace(self) -> Pace:
        """Return how often to look at batches that run elsewhere."""
        if self.simulated:
            return Pace(poll=_SIMULATED_POLL, max_poll=1.0, grace=0.0)
        own = self.settings
        return Pace(poll=own.poll_interval, max_poll=own.max_poll_interval, grace=own.adopt_grace)

    def _live(self, place: str, upstream: Mapping[str, Any], key: str | None) -> Client:
        """Make the embedded server that runs a provider's batches against a live endpoint."""
        from batchspec.providers.live.client import LiveClient  # noqa: PLC0415 - slow SDK
        from batchspec.simulator import AppTransport, Upstream, create_app  # noqa: PLC0415
        from batchspec.simulator import Pace as ServerPace  # noqa: PLC0415 - only here

        app = create_app(
            self.directory / "live" / place.partition(" ")[0],
            source=Upstream(**upstream, api_key=key, on_hold=self.warn),
            pace=replace(ServerPace().times(0), window=_FOREVER),
            creates_per_hour=None,
        )
        runner = app.state.engine.runner
        self.stack.callback(app.state.engine.close)
        self._drops.append(runner.drop)
        self.local[place] = _LOCAL_PACE
        return LiveClient(AppTransport(app), lambda: runner.outage)

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
        from batchspec.simulator import SimulatedClock, create_app, load_answers  # noqa: PLC0415

        own = self.settings.simulator
        jobs = self.stack.enter_context(JobLookup(self.directory))
        try:
            model = load_answers(own.answers, root=self.root, job_of=jobs) if own.answers else None
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"simulator.answers is not right: {error}") from error
        recordings = open_recordings(self.settings, self.root, self.stack)
        model, self._replays = replaying(recordings, model)
        app = create_app(
            self.directory / "simulator",
            clock=SimulatedClock(speed=own.speed),
            model=model,
            pace=ServerPace().times(own.pace),
            # Nobody wants to wait an hour of real time for an offline run.
            creates_per_hour=None,
            faults=self._faults(),
        )
        self.stack.callback(app.state.engine.close)
        return app

    def _faults(self) -> "Faults":
        from batchspec.simulator import load_faults  # noqa: PLC0415 - only here

        own = self.settings.simulator
        wanted = [] if own.scenario is None else [own.scenario]
        try:
            return load_faults(wanted, seed=own.seed, root=self.root)
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"simulator.scenario is not right: {error}") from error


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
