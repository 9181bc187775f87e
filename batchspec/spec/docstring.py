"""What a docstring says about a function and its parameters."""

import inspect
import logging
import re
from dataclasses import dataclass, field
from typing import Literal

_SECTIONS = re.compile(
    r"^\s*(?:Args|Arguments|Params|Parameters|Returns|Raises|Yields|Example|Examples|Note|Notes)"
    r"\s*(?::|\n\s*-{3,})|^\s*:(?:param|parameter|arg|return|returns|raises)\b",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Docstring:
    """The text before the first section, and a description per parameter."""

    text: str = ""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def read_docstring(docstring: str | None) -> Docstring:
    """Read a docstring in Google, NumPy or Sphinx style."""
    text = inspect.cleandoc(docstring or "")
    # The parser takes a third of a second to import; most docstrings do not need it.
    if not _SECTIONS.search(text):
        return Docstring(text)
    return _parse(text)


def _parse(text: str) -> Docstring:
    import griffe  # noqa: PLC0415 - slow

    logging.getLogger("griffe").setLevel(logging.CRITICAL)
    style = _style(text)
    sections = griffe.parse(griffe.Docstring(text), style)
    said = [s.value for s in sections if isinstance(s, griffe.DocstringSectionText)]
    parameters = {
        parameter.name.lstrip("*"): " ".join(parameter.description.split())
        for section in sections
        if isinstance(section, griffe.DocstringSectionParameters)
        for parameter in section.value
    }
    return Docstring("\n\n".join(said[:1]).strip(), parameters)


def _style(text: str) -> Literal["google", "numpy", "sphinx"]:
    if re.search(r"^\s*:(?:param|parameter|arg|return|returns|raises)\b", text, re.MULTILINE):
        return "sphinx"
    if re.search(r"^\s*\w+\s*\n\s*-{3,}\s*$", text, re.MULTILINE):
        return "numpy"
    return "google"
