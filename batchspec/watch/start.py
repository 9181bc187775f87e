"""Putting a watcher together."""

import os
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from batchspec.config import OpenAISettings, Settings
from batchspec.errors import UsageError
from batchspec.plan.consent import Consent
from batchspec.ports import Hook
from batchspec.project import Project
from batchspec.project.pending import Pending
from batchspec.telemetry.metrics import Metrics
from batchspec.watch.endpoints import app
from batchspec.watch.health import Health, Several
from batchspec.watch.protocol import Orders
from batchspec.watch.serving import serving
from batchspec.watch.sources import watched
from batchspec.watch.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 stands for any free one."""

    host: str
    port: int


@contextmanager
def watcher(
    project: Project, consent: Consent, hook: Hook, listen: Address | None = None
) -> Generator[Supervisor]:
    """Give a watcher of a project, which opens its state in processes of its own.

    Args:
        project: Which, and which of its environments.
        consent: What is agreed to before anything is known.
        hook: Is told what happens.
        listen: Where health, metrics and webhooks are served; None: nowhere.

    Raises:
        ConfigurationError: It is not possible to listen there.
    """
    health = Health(project.clock)
    metrics = _metrics() if listen else None
    supervisor = Supervisor(
        orders=Orders(
            root=str(project.root),
            environment=project.environment,
            simulate=project.simulated,
            consent=consent,
        ),
        hook=Several([hook, health, *([metrics] if metrics else [])]),
        clock=project.clock,
        watched=watched(project, None),
        approvals=Pending(project.directory).folder,
        health=health,
    )
    with ExitStack() as stack:
        if listen:
            served = app(
                live=health.live,
                ready=health.ready,
                metrics=None if metrics is None else partial(_rendered, metrics, health),
                secrets=webhook_secrets(project.settings),
                look_at=supervisor.hear,
            )
            url = stack.enter_context(serving(served, listen.host, listen.port))
            hook.warning(f"Serving /livez, /readyz, /metrics and /webhooks at {url}.")
        yield supervisor


def _rendered(metrics: Metrics, health: Health) -> tuple[bytes, str]:
    metrics.beat.set(health.beat or 0.0)
    metrics.leads.set(health.leads)
    return metrics.render()


def _metrics() -> Metrics | None:
    try:
        return Metrics()
    except UsageError:
        return None


def webhook_secrets(settings: Settings) -> Mapping[str, str]:
    """Return the secrets of webhooks that are in the environment, by provider."""
    return {
        name: secret
        for name, own in settings.providers.items()
        if isinstance(own, OpenAISettings) and (secret := os.environ.get(own.webhook_secret_env))
    }
