"""Bulk translation: every text of an app into every language, with a check of the placeholders."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from batchspec import Job, Message, rows

TEXTS = Path(__file__).parent / "data" / "texts.csv"
Language = Literal["French", "German", "Polish"]
LANGUAGES: tuple[Language, ...] = ("French", "German", "Polish")


class Text(BaseModel):
    """One text in one language."""

    id: str
    language: Language
    place: str
    english: str


class Translation(BaseModel):
    """A translated text."""

    text: str
    doubts: str | None = Field(description="What a native speaker should look at, or null.")


def every_pair() -> Iterator[Text]:
    """Yield each text once per language; rows may come from any function."""
    with TEXTS.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            for language in LANGUAGES:
                yield Text(
                    id=f"{line['id']}.{language[:2].lower()}",
                    language=language,
                    place=line["place"],
                    english=line["english"],
                )


def with_an_example(text: Text) -> list[Message]:
    """Show the model one finished translation before asking for another one."""
    return [
        {"role": "user", "content": "button, into Spanish: Add {item} to cart"},
        {"role": "assistant", "content": '{"text": "Añadir {item} al carrito", "doubts": null}'},
        {"role": "user", "content": f"{text.place}, into {text.language}: {text.english}"},
    ]


def keeps_placeholders(text: Text, translation: Translation) -> bool:
    """Tell whether {name} and the like are all there, each as often as in English."""
    wanted, found = (
        sorted(re.findall(r"\{\w+\}", words)) for words in (text.english, translation.text)
    )
    return wanted == found


texts = Job(
    model="openai:gpt-5-mini",
    rows=rows.iterable(every_pair, key="id"),
    row_type=Text,
    instructions=(
        "You translate the texts of a mobile app. Address people informally, keep it as short as "
        "the English, and leave everything in braces as it is."
    ),
    prompt=with_an_example,
    output=Translation,
    grade=keeps_placeholders,
    settings={"reasoning_effort": "minimal", "verbosity": "low", "max_completion_tokens": 800},
)
