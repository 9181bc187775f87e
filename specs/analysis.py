"""Data analysis: turn free-text hotel reviews into columns that can be counted."""

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

from batchspec import Job, rows


class Review(BaseModel):
    """One line of the table; what does not fit is reported before anything is sent."""

    id: str
    hotel: str
    stayed: date
    stars: int = Field(ge=1, le=5)
    text: str


class Topic(StrEnum):
    """What guests write about."""

    ROOM = "room"
    STAFF = "staff"
    FOOD = "food"
    PLACE = "place"
    PRICE = "price"


class Mention(BaseModel):
    """One topic of a review and how the guest felt about it."""

    topic: Topic
    feeling: Literal["good", "mixed", "bad"]
    quote: str = Field(description="The guest's own words, at most ten of them.")


class Findings(BaseModel):
    """What a review says."""

    mentions: list[Mention] = Field(min_length=1, max_length=5)
    would_return: bool | None = Field(description="null if the review does not say")
    summary: str = Field(description="One neutral sentence in English.")


reviews = Job(
    model="openai:gpt-5-mini",
    rows=rows.csv("specs/data/reviews.csv", key="id"),
    row_type=Review,
    instructions="You read hotel reviews for a market researcher. Add nothing of your own.",
    prompt="{hotel}, {stayed:%B %Y}, {stars} of 5 stars:\n\n{text}",
    output=Findings,
    settings={"reasoning_effort": "low", "max_completion_tokens": 2000},
)
