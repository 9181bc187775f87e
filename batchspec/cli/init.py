"""`batchspec init`: a working project in an empty folder."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.init import show_created
from batchspec.errors import BatchspecError, UsageError

TEMPLATES = Path(__file__).parent / "templates"
NAMES = ("hello", "classify", "tools", "generate", "compare")
_COMMON = "common"
_SUFFIX = ".tmpl"
"""Keeps linters, import machinery and build tools away from the files."""
_KEPT = frozenset({Path(".gitignore")})
"""Files that may be there already and are then left alone."""


@click.command()
@click.argument("folder", nargs=-1, metavar="")
@click.option(
    "--template",
    type=click.Choice(NAMES),
    default="hello",
    show_default=True,
    help="What the project does.",
)
@scope_options
@click.pass_obj
def init(scope: Scope, *, folder: tuple[str, ...], template: str) -> None:
    """Write a small working project: specs, data and configuration.

    Files that exist are never overwritten.
    """
    if folder:
        names = " ".join(map(shlex.quote, folder))
        raise UsageError(
            "`init` takes no argument; the folder is an option: "
            f"`batchspec init --project {names}`."
        )
    files = dict(template_files(template))
    there = [path for path in files if (scope.project / path).exists()]
    in_the_way = [path for path in there if path not in _KEPT]
    if in_the_way:
        names = ", ".join(str(path) for path in in_the_way)
        raise BatchspecError(
            f"Nothing was written, because these files exist: {names}. "
            "Use an empty folder, for example `batchspec init --project new-folder`."
        )
    written = [path for path in files if path not in there]
    for path in written:
        target = scope.project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(files[path], encoding="utf-8")
    show_created(written, kept=there, flags=scope.flags)


def template_files(template: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of a template: path in the project, content."""
    for folder in (TEMPLATES / template, TEMPLATES / _COMMON):
        for source in sorted(folder.rglob(f"*{_SUFFIX}")):
            path = source.relative_to(folder).with_suffix("")
            name = f".{path}" if path.name == "gitignore" else str(path)
            yield Path(name), source.read_text(encoding="utf-8")
