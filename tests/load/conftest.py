"""A project on disk, written by each test."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

HEADER = """\
from pydantic import BaseModel
from batchspec.errors import ModelRetry
from batchspec.spec import rows
from batchspec.spec.context import RunContext
from batchspec.spec.job import Job
from batchspec.spec.output import NativeOutput
from batchspec.spec.tool import tool
"""
"""Seven lines; the test's own text starts in line 8."""

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Write files into a project and return its folder; specs get the usual imports."""

    def write(files: dict[str, str]) -> Path:
        (tmp_path / "specs").mkdir(exist_ok=True)
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            head = HEADER if name.startswith("specs/") else ""
            path.write_text(head + dedent(text).lstrip("\n"), encoding="utf-8")
        return tmp_path

    return write
