"""Holds what the simulator emits against the provider's own published schemas and samples."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="no copy of the published schemas here"
)


def check(name: str, value: Any) -> None:
    """Fail unless a value conforms to a published schema.

    Those of files and batches call absent what the service sends as null; that of errors does not.
    """
    schema = {**_document(), "$ref": f"#/components/schemas/{name}"}
    told = value if name == "ErrorResponse" else _without_nulls(value)
    jsonschema.Draft202012Validator(schema).validate(told)


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((REFERENCE / "openai_files_batches.yaml").read_text())
    lines = yaml.safe_load((REFERENCE / "openai_batch_lines_schema.yaml").read_text())
    document["components"]["schemas"] |= lines
    return document


@cache
def samples() -> dict[str, Any]:
    """The sample bodies by group and kind."""
    found: dict[str, Any] = json.loads((REFERENCE / "openai_sample_bodies.json").read_text())
    return found


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
