"""Prices: exact, never invented, cheap per reply."""

import subprocess
import sys
from decimal import Decimal

import pytest
from genai_prices import Usage as Tokens
from genai_prices import calc_price

from batchspec.config import ModelPrices
from batchspec.messages import Usage
from batchspec.pricing import PriceList


@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-4o", "gpt-5.4", "gpt-5.4-2026-03-05"])
@pytest.mark.parametrize(
    ("prompt", "cached", "reply"),
    [(1000, 400, 50), (272_000, 0, 1), (272_001, 272_001, 1), (900_000, 5, 7), (0, 0, 0)],
)
def test_a_reply_costs_what_genai_prices_says(
    model: str, prompt: int, cached: int, reply: int
) -> None:
    """The cached rates give the very number of the slow path, tiers by prompt length included."""
    exact = calc_price(
        Tokens(input_tokens=prompt, cache_read_tokens=cached, output_tokens=reply),
        model,
        provider_id="openai",
        price_context={"processing": "batch"},
    ).total_price
    assert PriceList().cost("openai", model, Usage(prompt, cached, reply)) == exact


def test_batch_rates_are_half_of_the_list_price() -> None:
    """gpt-5-mini is listed at 0.25 and 2.00 US dollars per million."""
    rates = PriceList().rates("openai", "gpt-5-mini")
    assert rates is not None
    assert rates.basis == "batch"
    assert (rates.base.input, rates.base.output) == (Decimal("0.125e-6"), Decimal("1e-6"))


def test_a_model_without_a_batch_rate_costs_its_list_price() -> None:
    """Too high rather than too low, and it says so."""
    rates = PriceList().rates("openai", "gpt-3.5-turbo-16k")
    assert rates is not None
    assert rates.basis == "list"
    assert rates.base.input == Decimal("3e-6")


@pytest.mark.parametrize(
    ("model", "listed"),
    [("text-embedding-3-small", "0.02e-6"), ("text-embedding-3-large", "0.13e-6")],
)
def test_vectors_cost_their_inputs_and_half_of_it_in_batches(model: str, listed: str) -> None:
    """OpenAI's price page halves embeddings in batches like everything else."""
    batch, live = (PriceList().rates("openai", model, via=via) for via in ("batch", "live"))
    assert batch is not None
    assert live is not None
    assert (batch.basis, live.basis) == ("batch", "list")
    assert batch.base.input * 2 == live.base.input == Decimal(listed)
    assert batch.cost(Usage(0, 0, 1000)) == 0


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-nowhere"), ("laptop", "gpt-5-mini"), ("openai", "dall-e-3")],
)
def test_an_unknown_price_is_none_and_never_zero(provider: str, model: str) -> None:
    """Unknown models, unknown providers, and models that answer with something else than text."""
    prices = PriceList()
    assert prices.rates(provider, model) is None
    assert prices.cost(provider, model, Usage(1, 0, 1)) is None


def test_own_prices_win() -> None:
    """Cached input costs as input unless it is told."""
    prices = PriceList(
        {
            "openai": {"gpt-5-mini": ModelPrices(input=Decimal(1), output=Decimal(2))},
            "laptop": {
                "llama": ModelPrices(input=Decimal(1), output=Decimal(0), cached=Decimal(0))
            },
        }
    )
    assert prices.cost("openai", "gpt-5-mini", Usage(10, 5, 10)) == Decimal("30e-6")
    assert prices.cost("laptop", "llama", Usage(10, 5, 10)) == Decimal("5e-6")
    assert prices.cost("openai", "gpt-5-nano", Usage(1_000_000, 0, 0)) == Decimal("0.025")


def test_a_sum_of_replies_is_charged_by_the_average_prompt() -> None:
    """Ten short prompts are not one long one."""
    rates = PriceList().rates("openai", "gpt-5.4")
    assert rates is not None
    short, together = Usage(100_000, 0, 10), Usage(1_000_000, 0, 100)
    assert rates.cost(together, requests=10) == 10 * rates.cost(short)
    assert rates.cost(together) > 10 * rates.cost(short)


def test_the_price_data_are_loaded_on_use_only() -> None:
    """Importing the module costs nothing."""
    code = "import sys, batchspec.pricing; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
