"""What tokens cost, without asking the network: one file around genai-prices.

The rate of a model comes from the first of these that has one:

1. the project's own configuration, where an endpoint of the user's own is free by default;
2. the batch rate in genai-prices, which was read off the provider's page; it has none for OpenAI's
   embedding models, where half of the list price is what the page says;
3. the list price in genai-prices. It is not halved: models without a batch rate are mostly those
   the batch API does not take, and a price that is too high surprises nobody.

A model that none of them knows has no price: `None`, never 0.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol

from batchspec.messages import Usage
from batchspec.spec.model import is_embedding_model
from batchspec.state.records import Via

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

Basis = Literal["configured", "batch", "list"]
"""Where a rate comes from; `list` is an upper bound."""
MILLION = 1_000_000
_CATALOGUE = {"openai-responses": "openai"}
"""Whose prices a provider's are."""
_LIVE_FACTOR = 2
"""Batches cost half of what the same requests cost at the live endpoint."""


class OwnPrices(Protocol):
    """US dollars per million tokens, as a project's configuration states them."""

    @property
    def input(self) -> Decimal: ...

    @property
    def output(self) -> Decimal: ...

    @property
    def cached(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True)
class Tier:
    """US dollars per token of a request whose prompt is longer than `over` tokens."""

    over: int
    input: Decimal
    cached: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars per token of one model.

    With more than one tier the whole request is charged at the tier its prompt falls into.
    """

    tiers: tuple[Tier, ...]
    """By descending `over`; the last one is over -1 and fits every prompt."""
    basis: Basis

    @property
    def base(self) -> Tier:
        """Return the rates of a short prompt."""
        return self.tiers[-1]

    def cost(self, usage: Usage, *, requests: int = 1) -> Decimal:
        """Return US dollars for some requests that used so many tokens together.

        The tier is that of the average prompt, which is exact for one request.
        """
        prompt = usage.input_tokens // max(requests, 1)
        tier = self.tiers[-1]
        if len(self.tiers) > 1:
            tier = next(tier for tier in self.tiers if prompt > tier.over)
        cached = min(usage.cached_tokens, usage.input_tokens)
        return (
            tier.input * (usage.input_tokens - cached)
            + tier.cached * cached
            + tier.output * usage.output_tokens
        )


_FREE = Rates(tiers=(Tier(-1, Decimal(0), Decimal(0), Decimal(0)),), basis="configured")


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices of all models; implements `ports.Prices`.

    A rate is looked up once per model, after which the cost of a reply is three multiplications.
    """

    own: Mapping[str, Mapping[str, OwnPrices]] = field(
        default_factory=dict[str, Mapping[str, OwnPrices]]
    )
    """By provider and model."""
    free: Collection[str] = ()
    """Providers whose models cost nothing unless stated: endpoints of the user's own."""
    _found: dict[tuple[str, str, Via], Rates | None] = field(
        default_factory=dict[tuple[str, str, Via], Rates | None], repr=False
    )

    def rates(self, provider: str, model: str, *, via: Via = "batch") -> Rates | None:
        """Return what a model's tokens cost, or None when nobody knows.

        At a live endpoint they cost what is listed; where a project states its own prices, which
        are those of batches, twice as much.
        """
        key = (provider, model, via)
        if key not in self._found:
            own = self.own.get(provider, {}).get(model)
            if own is not None:
                self._found[key] = _configured(own, times=1 if via == "batch" else _LIVE_FACTOR)
            else:
                free = provider in self.free
                self._found[key] = _FREE if free else _listed(provider, model, via)
        return self._found[key]

    def cost(
        self, provider: str, model: str, usage: Usage, *, via: Via = "batch"
    ) -> Decimal | None:
        """Return US dollars for one reply, or None when the price is not known.

        For the sum of many replies ask `rates`, whose `cost` takes their number: prices may depend
        on the length of a prompt.
        """
        rates = self.rates(provider, model, via=via)
        return None if rates is None else rates.cost(usage)

    def meter(
        self, provider: str, model: str, *, via: Via = "batch"
    ) -> Callable[[Usage], float] | None:
        """Return what tells the cost of one reply in floats, which millions of replies need."""
        rates = self.rates(provider, model, via=via)
        if rates is None:
            return None
        if len(rates.tiers) > 1:
            return lambda usage: float(rates.cost(usage))
        tier = rates.base
        fresh, cached, output = float(tier.input), float(tier.cached), float(tier.output)

        def cost(usage: Usage) -> float:
            read = min(usage[1], usage[0])
            return fresh * (usage[0] - read) + cached * read + output * usage[2]

        return cost


def _configured(own: OwnPrices, *, times: int) -> Rates:
    cached = own.input if own.cached is None else own.cached
    unit = Decimal(times) / MILLION
    prices = (own.input * unit, cached * unit, own.output * unit)
    return Rates(tiers=(Tier(-1, *prices),), basis="configured")


def _listed(provider: str, model: str, via: Via) -> Rates | None:
    # It takes a third of a second to load, and most commands need no price.
    from genai_prices import Usage as Tokens  # noqa: PLC0415
    from genai_prices import calc_price  # noqa: PLC0415

    provider = _CATALOGUE.get(provider, provider)
    one = Tokens(input_tokens=1, output_tokens=1)
    try:
        batch = calc_price(
            one, model, provider_id=provider, price_context={"processing": "batch"}
        ).model_price
        listed = calc_price(one, model, provider_id=provider).model_price
    except LookupError:
        return None
    if is_embedding_model(f"{provider}:{model}"):
        return _of_vectors(listed, via)
    if via == "live":
        return _rates(listed, "list")
    return _rates(batch, "list" if batch == listed else "batch")


def _of_vectors(listed: "ModelPrice", via: Via) -> Rates | None:
    inputs = _by_length(listed, "input_mtok")
    if not inputs:
        return None
    price = inputs[-1] if via == "live" else inputs[-1] / _LIVE_FACTOR
    tier = Tier(-1, price, price, Decimal(0))
    return Rates(tiers=(tier,), basis="list" if via == "live" else "batch")


def _rates(prices: "ModelPrice", basis: Basis) -> Rates | None:
    per_token = _by_length(prices, "input_mtok"), _by_length(prices, "output_mtok")
    if not all(per_token):
        return None  # a model of audio or images
    inputs, outputs = per_token
    cached = _by_length(prices, "cache_read_mtok") or inputs
    starts = sorted({*inputs, *outputs, *cached}, reverse=True)
    tiers = (
        Tier(start, _at(inputs, start), _at(cached, start), _at(outputs, start)) for start in starts
    )
    return Rates(tiers=tuple(tiers), basis=basis)


def _by_length(prices: "ModelPrice", name: str) -> dict[int, Decimal]:
    """Return US dollars per token by the prompt length they start above."""
    from genai_prices.types import TieredPrices  # noqa: PLC0415 - see `_listed`

    price: object = getattr(prices, name, None)
    if isinstance(price, Decimal):
        return {-1: price / MILLION}
    if isinstance(price, TieredPrices):
        return {-1: price.base / MILLION} | {t.start: t.price / MILLION for t in price.tiers}
    return {}


def _at(prices: Mapping[int, Decimal], start: int) -> Decimal:
    return prices[max(key for key in prices if key <= start)]
