"""Content generation: write a shop's product pages, then a short post about each finished page."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from batchspec import Job, ModelRetry, rows

BANNED = ("revolutionary", "game-changing", "must-have", "unleash")


class Page(BaseModel):
    """The text of a product page."""

    headline: str = Field(max_length=80)
    description: str = Field(description="Two or three sentences for people who know nothing yet.")
    bullets: list[str] = Field(min_length=3, max_length=5)


def brief(product: Mapping[str, Any]) -> str:
    """Return what the writer gets to know: any function of a row can be a prompt."""
    facts = "\n".join(f"- {name}: {value}" for name, value in product["facts"].items())
    return f"Write the page for “{product['name']}”, made for {product['audience']}.\n\n{facts}"


def plain_words(page: Page) -> None:
    """Send a page back to the model when it shouts."""
    text = f"{page.headline} {page.description} {' '.join(page.bullets)}".lower()
    if found := [word for word in BANNED if word in text]:
        raise ModelRetry(f"Say it without these words: {', '.join(found)}.")


pages = Job(
    model="openai:gpt-4.1-mini",
    rows=rows.jsonl("specs/data/products.jsonl", key="sku"),
    instructions="You write for a small shop. Plain words, no claims beyond the facts given.",
    prompt=brief,
    output=Page,
    output_validators=[plain_words],
    output_retries=2,
    settings={"temperature": 0.7, "seed": 7, "max_tokens": 600},
)

posts = Job(
    model="openai:gpt-4.1-mini",
    rows=rows.outputs_of(pages),
    instructions="You write one post of at most 40 words, without hashtags.",
    prompt="Tell people about {row.name}.\n\n{output.headline}\n{output.description}",
    settings={"temperature": 0.9, "max_tokens": 120},
)
