"""A project as the Python API and the command line see it: the one place where rooms are wired."""

from batchspec.project.planfiles import SavedPlan
from batchspec.project.project import Project
from batchspec.project.refreshed import LookedAt, Refreshed
from batchspec.project.values import (
    ApplyResult,
    Graph,
    JobCheck,
    Rendered,
    Status,
    Validation,
)
from batchspec.results.read import Item

__all__ = [
    "ApplyResult",
    "Graph",
    "Item",
    "JobCheck",
    "LookedAt",
    "Project",
    "Refreshed",
    "Rendered",
    "SavedPlan",
    "Status",
    "Validation",
]
