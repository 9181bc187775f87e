"""Traces and metrics of an apply, where the environment asks for them."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchspec.ids import LaneId
from batchspec.ports import Hook
from batchspec.state.records import Lane
from batchspec.telemetry.exporting import switched_on, telemetry
from batchspec.telemetry.otel import Traced

if TYPE_CHECKING:
    from batchspec.project.project import Project


@contextmanager
def traced(project: "Project", hook: Hook, plan: str, reconcile: str) -> Generator[Hook]:
    """Give the hook of a round, which is traced if the environment asks for it.

    What sends is made once for a project, and closed with it.
    """
    if not switched_on(os.environ):
        yield hook
        return
    if project.telemetry is None:
        project.telemetry = telemetry(hook.warning)
        if project.telemetry is not None:
            project.closes(project.telemetry.close)
    if project.telemetry is None:
        yield hook
        return

    def lane(number: LaneId) -> Lane:
        with project.reader() as reader:
            return reader.lane(number)

    about = {"batchspec.plan": plan, "batchspec.reconcile": reconcile}
    with project.telemetry.round(about) as traceparent:
        yield Traced(
            hook, project.telemetry, lane, traceparent, contents=project.telemetry.contents
        )
