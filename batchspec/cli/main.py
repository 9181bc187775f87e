"""The entry point: commands are loaded on use, and every ending has its exit code."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

import click

from batchspec.cli.endings import Terminated, end
from batchspec.cli.scope import Scope, scope_options
from batchspec.errors import ExitCode
from batchspec.installed import installed_version
from batchspec.spec.suggest import did_you_mean

COMMANDS = {
    "init": "Write a small working project into an empty folder.",
    "validate": "Check specs, rows, schemas and templates; nothing is sent.",
    "render": "Print the exact request of one item.",
    "plan": "Show what would change, why, and what it costs.",
    "refresh": "Look at every open batch, and read what has ended.",
    "apply": "Make it so, and wait until every job is final.",
    "watch": "Keep it so: reconcile for ever, reload when files change.",
    "approve": "Agree to a plan that `watch` holds back.",
    "taint": "Mark answers as bad: the next plan asks for new ones.",
    "untaint": "Take such marks away.",
    "import": "Take the answers of a batch that was made by hand.",
    "cancel": "Stop what is under way; what was answered is kept.",
    "destroy": "Remove jobs or items, and their files at the provider.",
    "status": "Show jobs, batches, counts, cost, and what is waited for.",
    "results": "Print the answers.",
    "compare": "Put the variants of a job side by side.",
    "batches": "Show the batches at the providers.",
    "history": "Show what happened.",
    "state": "Look at the recorded state, or mend it by hand.",
    "graph": "Show jobs and what they depend on.",
    "unlock": "Take the lock on the state away from a process that hangs.",
    "simulator": "Run the embedded server that stands in for a provider.",
    "version": "Print the versions of batchspec and Python.",
}
"""Help is kept here, so that listing the commands imports none of them."""
_WORDS_OF_PYTHON = {"import": "import_batch"}
"""Commands whose module and function cannot have their name."""


class Commands(click.Group):
    """A group whose commands live in modules of their own, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = _WORDS_OF_PYTHON.get(cmd_name, cmd_name)
        command: click.Command = getattr(import_module(f"batchspec.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"There is no command {name!r}. {did_you_mean(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; a reader who has seen enough (`| head`) is no error."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still buffered must go somewhere, or Python complains at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.DONE
        return result


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        click.echo(f"batchspec {installed_version()}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 error, 2 changes (plan --detailed-exitcode), 3 in progress, "
    "4 failed items, 5 locked, 6 stale plan, 7 refused, 8 declined, 64 usage, 70 bug, "
    "130 interrupted, 143 terminated.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@scope_options
def batchspec() -> None:
    """The declarative way to run LLM batch jobs: plan, then apply."""


@contextmanager
def _terminated_by_signal() -> Generator[None]:
    """Let SIGTERM end what runs as an exception does, so that temporary files are removed."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments without the program's name; by default those of the process.
    """
    scope = Scope()
    # Rows come and go by the million and hold no cycles: looking for cycles every 700 objects, as
    # by default, costs a twentieth of the time.
    gc.set_threshold(50_000, 20, 20)
    try:
        with _terminated_by_signal():
            code = batchspec.main(argv, "batchspec", standalone_mode=False, obj=scope)
    except BaseException as error:  # noqa: BLE001 - this is where all of them end
        return end(error, scope)
    return int(code or ExitCode.DONE)
