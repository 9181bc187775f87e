"""Rates of calls, as the limits of providers say."""

from dataclasses import replace
from typing import TYPE_CHECKING

from batchspec.apply.pacing import PacedClient, Rate
from batchspec.ports import Hook, Provider

if TYPE_CHECKING:
    from batchspec.project.project import Project


def paced(project: "Project", provider: Provider, hook: Hook) -> Provider:
    """Return a provider whose calls keep to the rate of its limits, if there is one."""
    own = project.settings.providers.get(provider.name)
    allowed = None if own is None else own.limits.requests_per_minute
    if allowed is None or project.simulated:
        return provider
    rate = project.rates.setdefault(provider.name, Rate(provider.name, allowed, project.clock))
    return replace(provider, client=PacedClient(provider.client, rate, hook.warning))
