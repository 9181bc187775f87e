"""batchspec: the declarative way to run LLM batch jobs."""

from typing import TYPE_CHECKING, Any

from batchspec.errors import ModelRetry
from batchspec.messages import Message
from batchspec.spec import rows
from batchspec.spec.context import RunContext
from batchspec.spec.job import Job
from batchspec.spec.output import NativeOutput
from batchspec.spec.tool import Tool, tool

if TYPE_CHECKING:
    from batchspec.project import Project

__all__ = [
    "Job",
    "Message",
    "ModelRetry",
    "NativeOutput",
    "Project",
    "RunContext",
    "Tool",
    "rows",
    "tool",
]


def __getattr__(name: str) -> Any:
    # Late: specs import this package, and need neither the state nor a provider.
    if name == "Project":
        from batchspec.project import Project  # noqa: PLC0415

        return Project
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
