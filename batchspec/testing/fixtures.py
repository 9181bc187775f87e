"""What the fixtures of the plugin give to tests."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from batchspec.project import Project
from batchspec.simulator import Faults, Pace
from batchspec.spec.job import Job
from batchspec.testing.given import (
    Rows,
    addressed,
    by_job,
    known_options,
    rows_by_job,
    with_upstream,
)
from batchspec.testing.run import Run
from batchspec.testing.simulated import SimulatedProject, hides_mistakes


class RunJob:
    """Runs jobs, each call in a project of its own with nothing on record.

    Args:
        root: The folder files of rows and the configuration are read from.
        make_directory: Makes an empty folder for a project's state.
        projects: Gets every project that runs.
    """

    def __init__(
        self, root: Path, make_directory: Callable[[], Path], projects: list[SimulatedProject]
    ) -> None:
        self._projects = projects
        self._root = root
        self._make_directory = make_directory
        self._stack = ExitStack()

    def __call__(
        self,
        job: Job,
        *others: Job,
        rows: Rows | Mapping[Job, Rows] | None = None,
        answers: Any = None,
        faults: Faults | None = None,
        pace: Pace | None = None,
        **options: Any,
    ) -> Run:
        """Plan and apply a job with those its rows are made of, and return its items.

        Args:
            job: From a spec module, or made by the test.
            others: Further jobs, where a job names its upstream by address.
            rows: Instead of the job's own; or by job.
            answers: What the model says: by key (`...` for every other row), a function of the
                `Request`, a `script` or one answer for every row; or each of these by job. Answers
                that are not given are made up.
            faults: What goes wrong at the provider.
            pace: How long batches stay in each status there.
            options: Of `SimulatedProject.apply`.

        Raises:
            ScriptError: The answers do not fit what was asked.
            TypeError: An argument is misspelt or of another type; nothing ran.
            BatchspecError: What `Project.plan` and `Project.apply` raise.
        """
        __tracebackhide__ = hides_mistakes
        known_options("run_job", options, self.__call__, SimulatedProject.apply, Project.apply)
        project = SimulatedProject(
            self._root,
            self._make_directory(),
            jobs=addressed(with_upstream([job, *others])),
            rows=rows_by_job(job, rows),
            faults=faults,
            pace=pace,
        )
        self._projects.append(self._stack.enter_context(project))
        for each, given in by_job(job, answers).items():
            project.answer(each, given)
        return project.apply(**options).of(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
