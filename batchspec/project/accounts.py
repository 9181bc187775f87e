"""Whose batches a state has: each provider is bound to the account its open batches are at.

Asked with another key, a provider knows none of them: it would look as if they were gone, and a
batch whose creation got no answer would be paid for again.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from batchspec.config import LiveSettings, Settings
from batchspec.errors import RefusedError
from batchspec.ids import LaneId
from batchspec.ports import Clock, Provider
from batchspec.state.events import AccountBound
from batchspec.state.records import BatchRecord
from batchspec.store.sqlite import StateStore

_OPENAI = "https://api.openai.com/v1"
_DIGITS = 12
"""Hexadecimal digits of the hash of a key: they tell keys apart and give none away."""
_SEEN = {"OPENAI_ORG_ID": "organization", "OPENAI_PROJECT_ID": "project"}
"""Variables the SDK reads: with one key, another project has other batches."""
_HERE = "an endpoint whose batches run in this process"


class Accounts(Protocol):
    """Who knows the account a provider would be used with."""

    def account(self, provider: Provider) -> str | None:
        """Return it, or None where batches run in this process."""
        ...


def account_of(settings: Settings, provider: str) -> str | None:
    """Return where a provider is and whose key is used, without the key.

    None for a live endpoint: its batches run in the state's own folder, where no other account
    could be meant.

    Raises:
        ConfigurationError: The key is missing.
    """
    own = settings.provider(provider)
    if isinstance(own, LiveSettings):
        return None
    where = without_secrets(settings.base_url(provider) or _OPENAI).rstrip("/")
    where += "".join(f" {word} {os.environ[v]}" for v, word in _SEEN.items() if os.environ.get(v))
    if own.account is not None:
        return f"{where} account {own.account}"
    key = settings.api_key(provider)
    secret = "" if key is None else key.get_secret_value()
    return f"{where} key {sha256(secret.encode()).hexdigest()[:_DIGITS]}"


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def bindings(
    store: StateStore,
    providers: Mapping[str, Provider],
    used: Iterable[str],
    accounts: Accounts,
    clock: Clock,
) -> list[AccountBound]:
    """Return what binds the providers that are about to be used to the accounts of their keys.

    Call it before anything is asked of a provider, and commit what it returns under the lease
    before anything is sent.

    Args:
        store: The state.
        providers: By name.
        used: Names of those that are about to be used.
        accounts: Knows the account of each.
        clock: Tells the time.

    Raises:
        RefusedError: A provider has open batches at another account.
        ConfigurationError: A key is missing.
    """
    bound = store.accounts()
    found: list[AccountBound] = []
    for name in sorted(set(used) & set(providers)):
        account = accounts.account(providers[name])
        if account == bound.get(name):
            continue
        if name in bound and (there := _at(store, name)):
            raise RefusedError(other_account(name, bound[name], account, there))
        if account is not None:
            found.append(AccountBound(provider=name, account=account, at=clock.now()))
    return found


def _at(store: StateStore, provider: str) -> list[BatchRecord]:
    lanes = {record.lane.id for record in store.lanes() if record.lane.provider == provider}
    return at_provider(store.open_batches(), lanes)


def at_provider(batches: Iterable[BatchRecord], lanes: Collection[LaneId]) -> list[BatchRecord]:
    """Return the open batches of some lanes of which the provider may have anything but a file.

    A file whose upload got no answer costs nothing; a mistyped host must be easy to mend.
    """
    return [
        batch
        for batch in batches
        if batch.lane in lanes and (batch.remote_id or batch.create_at or batch.input_file_id)
    ]


def switched(bound: str, account: str | None) -> str:
    """Return which account was meant and which one would be asked."""
    return f"it was {bound}, and now it is {account or _HERE}"


def other_account(
    provider: str, bound: str, account: str | None, there: Collection[BatchRecord]
) -> str:
    """Return what a person is told whose key belongs to another account than the open batches."""
    batches = "1 batch is" if len(there) == 1 else f"{len(there)} batches are"
    return (
        f"{batches} open at another account of {provider!r}: {switched(bound, account)}. Nothing "
        "was asked and nothing was sent, because they would look as "
        "if they were gone. Use the former key and base URL; if the key was replaced by a new one "
        f"of the same account, run `batchspec refresh --rebind {provider}`."
    )
