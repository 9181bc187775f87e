"""Rates of calls, as the limits of providers say: one for each account."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from batchspec.apply.pacing import PacedClient, Rate
from batchspec.errors import ConfigurationError
from batchspec.ports import Provider
from batchspec.project.accounts import account_of
from batchspec.project.wiring import Unconnected

if TYPE_CHECKING:
    from batchspec.project.opened import OpenedProject


def paced(project: "OpenedProject", provider: Provider, warn: Callable[[str], None]) -> Provider:
    """Return a provider whose calls keep to the rate of its account, if there is one.

    Providers that are used with one key have one rate together: the lowest that one of them says.
    """
    known = provider.name in project.settings.providers
    if project.simulated or not known or isinstance(provider.client, Unconnected):
        return provider
    account = _account(project, provider.name)
    shared = [name for name in project.settings.providers if _account(project, name) == account]
    limits = (project.settings.provider(name).limits.requests_per_minute for name in shared)
    allowed = min((limit for limit in limits if limit is not None), default=None)
    if allowed is None:
        return provider
    names = " and ".join(map(repr, shared))
    rate = project.rates.setdefault(account, Rate(names, allowed, project.clock))
    return replace(provider, client=PacedClient(provider.client, rate, warn))


def _account(project: "OpenedProject", provider: str) -> str:
    """Return the account of a provider; its name where that cannot be known."""
    try:
        return account_of(project.settings, provider) or provider
    except ConfigurationError:
        return provider
