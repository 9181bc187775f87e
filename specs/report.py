"""Report generation: sum up what each branch writes, then one report from all the summaries."""

from typing import Literal

from pydantic import BaseModel, Field

from batchspec import Job, rows


class Summary(BaseModel):
    """What headquarters needs to know of one branch."""

    branch: str
    mood: Literal["calm", "busy", "worried"]
    news: list[str] = Field(max_length=4)
    asks: list[str] = Field(description="What the branch wants from headquarters.", max_length=3)


summaries = Job(
    model="openai:gpt-5-nano",
    rows=rows.files("specs/data/branches/*.txt", key="name"),
    instructions="You sum up weekly letters from branches. Numbers stay exact.",
    prompt="{text}",
    output=Summary,
    settings={"reasoning_effort": "low", "max_completion_tokens": 1500},
)

weekly = Job(
    model="openai:gpt-5-mini",
    rows=rows.collect(summaries),
    instructions="You write the weekly report: one page, the urgent first, every branch named.",
    prompt="Here is what our {count} branches report:\n\n{outputs}",
    settings={"reasoning_effort": "medium", "max_completion_tokens": 4000},
)
