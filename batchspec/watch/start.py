"""Putting a watcher together."""

import os
from base64 import b64decode
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from starlette.applications import Starlette

from batchspec.config import OpenAISettings, Settings
from batchspec.errors import ConfigurationError, StateError, UsageError
from batchspec.plan.consent import Consent
from batchspec.ports import Hook, Log
from batchspec.project import Project
from batchspec.project.pending import Pending
from batchspec.store.lease import Watcher
from batchspec.telemetry.metrics import Metrics
from batchspec.telemetry.repeats import Sparing
from batchspec.watch.endpoints import Heard, app
from batchspec.watch.health import Health, Several
from batchspec.watch.protocol import Beside, Orders, Reconciled, Round, ToolsTimed
from batchspec.watch.serving import serving
from batchspec.watch.sources import watched
from batchspec.watch.supervisor import Supervisor

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 stands for any free one."""

    host: str
    port: int


@contextmanager
def watcher(
    project: Project, consent: Consent, hook: Log, listen: Address | None = None
) -> Generator[Supervisor]:
    """Give a watcher of a project, which opens its state in processes of its own.

    Args:
        project: Which, and which of its environments.
        consent: What is agreed to before anything is known.
        hook: Is told what happens.
        listen: Where health, metrics and webhooks are served; None: nowhere.

    Raises:
        ConfigurationError: It is not possible to listen there, or a secret of webhooks is none.
        StateError: The folder of the state cannot be written to.
    """
    health = Health(project.clock, project.settings.health_timeout)
    secrets = webhook_secrets(project.settings)
    metrics = _metrics(secrets) if listen else None
    supervisor = Supervisor(
        orders=Orders(
            root=str(project.root),
            environment=project.environment,
            simulate=project.simulated,
            consent=consent,
            watcher=Watcher(os.getpid(), project.clock.now()),
            state=str(project.directory.resolve()),
        ),
        hook=_told(health, metrics, hook),
        clock=project.clock,
        watched=watched(project, None),
        approvals=_made(Pending(project.directory).folder),
        health=health,
        view=hook,
        beside=partial(_beside, hook, metrics),
    )
    if metrics:
        supervisor.engines = metrics.engine
    supervisor.load_timeout = project.settings.watch.load_timeout
    with ExitStack() as stack:
        if listen:
            served = _served(supervisor, secrets, metrics)
            warn = supervisor.hook.warning
            url = stack.enter_context(serving(served, listen.host, listen.port, warn))
            hooks = "".join(f", /webhooks/{name}" for name in secrets)
            hook.info(f"Serving /livez, /readyz, /metrics{hooks} at {url}.")
        yield supervisor


def _told(health: Health, metrics: Metrics | None, hook: Log) -> Several:
    # Who reads of something and asks for metrics then finds it counted.
    return Several([health, *([metrics] if metrics else []), Sparing(hook, monotonic)])


def _served(
    supervisor: Supervisor, secrets: Mapping[str, str], metrics: Metrics | None
) -> Starlette:
    return app(
        live=supervisor.health.live,
        ready=supervisor.health.ready,
        metrics=None if metrics is None else partial(_rendered, metrics, supervisor.health),
        secrets=secrets,
        look_at=supervisor.hear,
        heard=partial(_heard, supervisor.hook, metrics),
    )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"The folder {folder} cannot be made: {error.strerror}. It is for plans that wait for "
            "consent, beside the state; see who may write there, and BATCHSPEC_STATE."
        ) from error
    return folder


def _rendered(metrics: Metrics, health: Health) -> tuple[bytes, str]:
    metrics.standing(beat=health.beat, leads=health.leads)
    return metrics.render(health.clock.now())


def _beside(log: Log, metrics: Metrics | None, said: Beside) -> None:
    """Give to logs and metrics what is no event."""
    if isinstance(said, Round):
        log.within(**asdict(said))
    if metrics is None:
        return
    match said:
        case Reconciled():
            metrics.reconciled(said.result, said.seconds)
        case ToolsTimed():
            metrics.tools(said.calls)
        case Round():
            pass


def _heard(hook: Hook, metrics: Metrics | None, provider: str, result: Heard) -> None:
    """Count a webhook, and tell of one that is refused: polling hides that it is."""
    if metrics is not None:
        metrics.webhook(provider, result)
    if result == "refused":
        hook.warning(
            f"A webhook of {provider} was refused: its signature or its time is not right. See "
            "whether the secret in the environment is that of the webhook, and the clock is right."
        )


def _metrics(secrets: Mapping[str, str]) -> Metrics | None:
    try:
        return Metrics(webhooks=tuple(secrets))
    except UsageError:
        return None


def webhook_secrets(settings: Settings) -> Mapping[str, str]:
    """Return the secrets of webhooks that are in the environment, by provider.

    Raises:
        ConfigurationError: One can be no secret.
    """
    named = {
        name: own.webhook_secret_env
        for name, own in settings.providers.items()
        if isinstance(own, OpenAISettings) and os.environ.get(own.webhook_secret_env)
    }
    for variable in named.values():
        _check(variable, os.environ[variable])
    return {name: os.environ[variable] for name, variable in named.items()}


def _check(variable: str, secret: str) -> None:
    """Refuse what is no secret of Standard Webhooks: the prefix, then base64."""
    try:
        if secret.startswith(_PREFIX):
            b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:
        raise ConfigurationError(
            f"{variable} holds no secret of a webhook: after {_PREFIX!r} comes base64. Copy it "
            "again from the provider's settings."
        ) from error
