"""The parts of documents that come from the code, and `make docs`, which writes them anew."""

import ast
import inspect
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import fault_tables
from documents import DOCUMENTS, ROOT, generated, run
from pydantic import BaseModel

from batchspec import config
from batchspec.conformance import checks
from batchspec.state.machine import state_diagram
from batchspec.telemetry.metrics import METRICS

_TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", config.Settings),
    ("providers.NAME.", config.OpenAISettings),
    ("providers.NAME.limits.", config.Limits),
    ("providers.NAME.prices.MODEL.", config.ModelPrices),
    ("providers.LIVE.", config.LiveSettings),
    ("simulator.", config.SimulatorSettings),
    ("watch.", config.WatchSettings),
)


def diagram() -> str:
    """Return both state machines as a Mermaid block."""
    return f"```mermaid\n{state_diagram()}\n```"


def settings() -> str:
    """Return a table of every key of the configuration."""
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [line for prefix, model in _TABLES for line in _rows(prefix, model)]
    return "\n".join(lines)


def _rows(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    said: dict[str, str] = {}
    for base in reversed(model.__mro__[: model.__mro__.index(BaseModel)]):
        said |= _said(base)
    for name, info in model.model_fields.items():
        if any(place.startswith(f"{prefix}{name}.") for place, _ in _TABLES):
            continue
        if model is config.LiveSettings and name in config.CommonSettings.model_fields:
            continue  # told above
        default = "required"
        if not info.is_required():
            default = f"`{_toml(info.get_default(call_default_factory=True))}`"
        kind = _kind(info.annotation)
        yield f"| `{prefix}{name}` | {kind} | {default} | {said.get(name, '')} |"


def _toml(value: object) -> str:
    match value:
        case None:
            return "none"
        case str():
            return f'"{value}"'
        case int() if not isinstance(value, bool):
            return f"{value:_}"
        case dict():
            return "{}"
        case _:
            return str(value)


def _kind(annotation: Any) -> str:
    if isinstance(annotation, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Literal:
        return "text"
    names = {str: "text", int: "whole number", float: "number", Decimal: "number"}
    return names.get(annotation, "table")


def _said(model: type[BaseModel]) -> dict[str, str]:
    """Return the strings under the fields of a class."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: " ".join(ast.literal_eval(text.value).split())
        for field, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def conformance() -> str:
    """Return a table of every check of the conformance suite."""
    lines = ["| check | expected | weight | cost | source |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{c.id}` | {c.reason} | {c.severity} | {c.cost} | {c.source} |" for c in checks.every()
    ]
    return "\n".join(lines)


def departures() -> str:
    """Return a table of what other people's servers are known to do otherwise."""
    lines = ["| server | check | what it does |", "| --- | --- | --- |"]
    for path in sorted((ROOT / "tests" / "conformance" / "departures").glob("*.toml")):
        reasons = tomllib.loads(path.read_text(encoding="utf-8"))["departures"]
        lines += [f"| {path.stem} | `{check}` | {reason} |" for check, reason in reasons.items()]
    return "\n".join(lines)


def metrics() -> str:
    """Return a table of every metric that `watch` serves."""
    lines = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{m.exposed}` | {m.kind} | {', '.join(f'`{one}`' for one in m.labels)} | {m.meaning} |"
        for m in METRICS
    ]
    return "\n".join(lines)


PARTS = {
    "conformance": conformance,
    "departures": departures,
    "diagram": diagram,
    "metrics": metrics,
    "settings": settings,
    **fault_tables.PARTS,
}


def rewrite(document: Path) -> None:
    """Write a document's generated parts and console blocks as they should be."""
    document.write_text(generated(document.read_text(encoding="utf-8"), PARTS), encoding="utf-8")
    text = document.read_text(encoding="utf-8")
    pieces: list[str] = []
    end = 0
    with tempfile.TemporaryDirectory() as folder:
        for part, told in run(document, Path(folder)):
            if told and not all(command.agrees for command in told):
                sys.stdout.write(f"{document.name}:{told[0].line}: rewritten\n")
                lines = (f"$ {command.command}\n{command.mended}" for command in told)
                pieces += text[end : part.start()], f"```console\n{''.join(lines)}```"
                end = part.end()
    document.write_text("".join([*pieces, text[end:]]), encoding="utf-8")


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "BATCHSPEC_"))]:
        del os.environ[name]
    for each in DOCUMENTS:
        rewrite(each)
