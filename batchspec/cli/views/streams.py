"""Where output goes: human output to stdout, diagnostics and progress to stderr."""

import os
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, redirect_stdout
from errno import EPIPE
from io import TextIOWrapper
from typing import Any, BinaryIO, TextIO, cast

from pydantic_core import to_json
from rich.console import Console
from rich.text import Text

FORMAT_VERSION = "1"
"""Of all JSON the command line prints; it grows by addition only."""


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person sees this stream, and wants colour and movement."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Quitting(Console):
    """Lets the caller decide what a closed pipe means, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(EPIPE, "the reader has gone away")


def _console(stream: TextIO) -> Console:
    live = is_terminal(stream)
    _forgive(stream)
    return _Quitting(
        file=stream,
        force_terminal=live,
        no_color=not live,
        color_system="auto" if live else None,
        width=None if stream.isatty() else 10_000,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def _forgive(stream: object) -> None:
    """Let a question mark stand for what the stream's encoding lacks, instead of a traceback."""
    if isinstance(stream, TextIOWrapper):
        cast("TextIOWrapper[BinaryIO]", stream).reconfigure(errors="replace")


_ours: list[TextIO] = []


@contextmanager
def foreign_prints_to_stderr() -> Generator[None]:
    """Keep what specs, tools and validators print out of stdout, which may be JSON for a program.

    Views go on writing to the real one.
    """
    _ours.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _ours.pop()


def out_stream() -> TextIO:
    """Return the stream of what was asked for."""
    return _ours[-1] if _ours else sys.stdout


def line_width(console: Console) -> int | None:
    """Return how many characters a line of a console holds; None where it is no terminal."""
    return console.width if console.file.isatty() else None


def stdout() -> Console:
    """Return the console for what was asked for."""
    return _console(out_stream())


def stderr() -> Console:
    """Return the console for diagnostics and progress."""
    return _console(sys.stderr)


def print_table(console: Console, lines: Iterable[Text]) -> None:
    """Print lines of a table; on a terminal each is cut to its width, elsewhere nothing is lost."""
    for line in lines:
        if console.file.isatty():
            line.truncate(console.width, overflow="ellipsis")
        console.print(line)


def print_prose(console: Console, lines: Iterable[Text]) -> None:
    """Print lines; on a terminal long ones go on below themselves, a little further in."""
    for line in lines:
        if not console.file.isatty() or line.cell_len <= console.width:
            console.print(line)
            continue
        indent = len(line.plain) - len(line.plain.lstrip()) + 2
        first, *rest = line.wrap(console, max(console.width - indent, 20))
        first.rstrip()
        console.print(first)
        for more in rest:
            more.rstrip()
            console.print(Text(" " * indent).append_text(more))


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document, with its format version first."""
    text = to_json(
        {"format_version": FORMAT_VERSION} | dict(document), indent=2, inf_nan_mode="null"
    )
    write_bytes(text + b"\n")


def print_json_list(name: str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON document with a list that may be too long to hold, an entry per line."""
    write_bytes(b'{"format_version": %b, %b: [' % (to_json(FORMAT_VERSION), to_json(name)))
    before = b"\n"
    for entry in entries:
        write_bytes(before + to_json(dict(entry), inf_nan_mode="null"))
        before = b",\n"
    write_bytes(b"\n]}\n")


def write_bytes(data: bytes) -> None:
    """Write UTF-8 to stdout whatever the terminal's encoding is."""
    stream = out_stream()
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
