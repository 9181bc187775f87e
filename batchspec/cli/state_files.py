"""`batchspec state pull`, `push` and `verify`: the state as a whole."""

from pathlib import Path

import click

from batchspec.cli.durations import Duration, lock_options
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views import state_files as views
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.refresh import refreshing
from batchspec.errors import ExitCode, UsageError

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file of its owner alone, instead of stdout.",
)
@scope_options
@click.pass_obj
def pull(scope: Scope, *, output: Path | None) -> None:
    """Write the whole state as one file: a tar, compressed with Zstandard.

    It is of one moment, also while an apply is running, and holds no secret; it does hold rows,
    requests and answers.
    """
    with scope.open() as project:
        if output is None or output == Path("-"):
            if views.stdout_is_terminal():
                raise UsageError("The state is no text: use `-o FILE`, or pipe it somewhere.")
            with views.bytes_out() as out:
                project.state.pull(out)
        else:
            views.show_pulled(views.pull_to(project.state.pull, output), output)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--force",
    is_flag=True,
    help="Also an older state, one of another history or of another environment.",
)
@_as_json
@lock_options
@scope_options
@click.pass_obj
def push(scope: Scope, *, file: Path, force: bool, as_json: bool) -> None:
    """Put the state of a file that `state pull` wrote in the place of this one.

    Only a later moment of the same history and environment is taken, after every invariant was
    checked. What is replaced is kept under `backups/`; being older, it is put back with `--force`.
    A simulated state is never taken by another environment, nor the other way round.
    """
    with errors_as_json(as_json), scope.open() as project:
        done = project.state.push(file, force=force)
    (views.show_pushed_json if as_json else views.show_pushed)(done)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--keep",
    type=Duration(),
    metavar="DURATION",
    default=0.0,
    help="Leave the files of batches that ended less than so long ago, as 7d.",
)
@_as_json
@lock_options
@scope_options
@click.pass_obj
def gc(scope: Scope, *, dry_run: bool, keep: float, as_json: bool) -> ExitCode:
    """Delete what nothing needs any more, at the providers and on disk.

    At the providers: input files of batches that are done with, and result files of those that were
    collected, whose lines are kept here. On disk: files of bodies that no row points at. Files of
    imported batches are somebody else's and are left alone.
    """
    with errors_as_json(as_json), scope.open() as project, refreshing(quiet=as_json) as hook:
        done = project.state.gc(dry_run=dry_run, keep=keep, hook=hook)
    (views.show_garbage_json if as_json else views.show_garbage)(done)
    return ExitCode.ERROR if done.failed else ExitCode.DONE


@click.command()
@_as_json
@scope_options
@click.pass_obj
def verify(scope: Scope, *, as_json: bool) -> ExitCode:
    """Check everything that must be true of the state, and read every body.

    Exits with 1 and a list when something is broken.
    """
    with errors_as_json(as_json), scope.open() as project:
        problems = project.state.verify()
    (views.show_verified_json if as_json else views.show_verified)(problems)
    return ExitCode.ERROR if problems else ExitCode.DONE
