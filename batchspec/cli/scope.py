"""Which project, and which of its environments: the options every command shares."""

import shlex
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchspec.errors import UsageError

if TYPE_CHECKING:
    from batchspec.project import Project

SIMULATION = "simulation"
"""The environment `--simulate` stands for."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Scope:
    """What the shared options say; given before or after the command, the last one counts."""

    project: Path = Path()
    env: str | None = None
    simulate: bool = False
    lock_timeout: float | None = None

    @property
    def environment(self) -> str | None:
        """Return the environment asked for, or None where the configuration decides.

        Raises:
            UsageError: `--simulate` and another environment contradict each other.
        """
        if not self.simulate:
            return self.env
        if self.env not in {None, SIMULATION}:
            raise UsageError(
                f"`--simulate` is short for environment {SIMULATION!r}, so that simulated answers "
                f"never mix with paid ones; leave out `--env {self.env}`."
            )
        return SIMULATION

    @property
    def flags(self) -> str:
        """Return the options again, as a command that can be pasted needs them."""
        folder = "" if self.project == Path() else f" --project {shlex.quote(str(self.project))}"
        env = f" --env {shlex.quote(self.env)}" if self.env and not self.simulate else ""
        return folder + env + (" --simulate" if self.simulate else "")

    @contextmanager
    def open(self) -> "Generator[Project]":
        """Open the project, and close it at the end.

        Raises:
            ConfigurationError: The configuration is not right.
            UsageError: The folder does not exist, or the options contradict each other.
        """
        environment = self.environment
        if not self.project.is_dir():
            raise UsageError(f"There is no folder {str(self.project)!r}.")
        # Imported here: they load most of the package, which no help page needs.
        from batchspec.cli.views.failures import show_notice  # noqa: PLC0415
        from batchspec.cli.views.streams import foreign_prints_to_stderr  # noqa: PLC0415
        from batchspec.config import load_settings  # noqa: PLC0415
        from batchspec.project import Project  # noqa: PLC0415

        settings = load_settings(self.project, env=environment, lock_timeout=self.lock_timeout)
        with (
            foreign_prints_to_stderr(),
            Project(self.project, simulate=self.simulate, settings=settings) as project,
        ):
            project.patience.tell = lambda told: show_notice(told, flags=self.flags)
            yield project
            if project.warnings:
                from batchspec.cli.views.failures import show_diagnostics  # noqa: PLC0415

                show_diagnostics(project.warnings)


def note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep the value of an option in the scope."""
    if value is not None:
        setattr(ctx.find_root().ensure_object(Scope), param.name, value)


def scope_options(function: Function) -> Function:
    """Add `--project`, `--env` and `--simulate`; the command asks for them with `pass_obj`."""
    options = (
        click.option(
            "--project",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            expose_value=False,
            callback=note,
            help="Folder of the project; by default this one.",
        ),
        click.option(
            "--env",
            metavar="NAME",
            expose_value=False,
            callback=note,
            help="Environment, each with a state of its own.",
        ),
        click.option(
            "--simulate",
            is_flag=True,
            default=None,
            expose_value=False,
            callback=note,
            help="Use the embedded server: offline, free, in environment 'simulation'.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
