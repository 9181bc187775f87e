"""How errors look: diagnostics one by one, everything else as a sentence."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.text import Text

from batchspec.cli.views.streams import print_json, print_prose, stderr
from batchspec.cli.views.words import clean, counted, pasted
from batchspec.errors import BatchspecError, DepsError, Diagnostic, SpecError, exit_code_for


def show_error(error: BatchspecError, *, flags: str) -> None:
    """Print an error: its diagnostics where it has them, otherwise its message.

    Args:
        error: What ended the command.
        flags: The shared options of this run, for the commands it names.
    """
    if isinstance(error, SpecError):
        ending = "" if isinstance(error, DepsError) else "; nothing was sent"
        print_prose(stderr(), diagnostic_lines(error.diagnostics, ending))
        return
    first, *rest = clean_lines(pasted(str(error), flags))
    print_prose(stderr(), [Text.assemble(("Error: ", "bold red"), first), *map(Text, rest)])


def show_notice(message: str, *, flags: str) -> None:
    """Say on stderr what a person who waits should know."""
    print_prose(stderr(), [Text(clean(pasted(message, flags)))])


def show_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print numbered diagnostics, and how many there are."""
    print_prose(stderr(), diagnostic_lines(diagnostics))


def diagnostic_lines(
    diagnostics: Sequence[Diagnostic], ending: str = "; nothing was sent"
) -> list[Text]:
    """Return the lines of `show_diagnostics`; `ending` says what the errors did not do."""
    lines: list[Text] = []
    for place, diagnostic in enumerate(diagnostics, 1):
        lines += _diagnostic(place, diagnostic)
    errors = sum(1 for d in diagnostics if d.severity == "error")
    warnings = len(diagnostics) - errors
    told = [counted(errors, "error")] if errors else []
    told += [counted(warnings, "warning")] if warnings else []
    end = ending if errors else ""
    return [*lines, Text(f"{', '.join(told)}{end}.", "bold")]


def _diagnostic(place: int, diagnostic: Diagnostic) -> list[Text]:
    style = "bold red" if diagnostic.severity == "error" else "bold yellow"
    head = Text.assemble(
        (f"{place}. {diagnostic.severity.capitalize()}: ", style),
        (clean(diagnostic.summary), "bold"),
    )
    where = ", in ".join(clean(str(p)) for p in (diagnostic.source, diagnostic.address) if p)
    detail = [Text(f"   {line}") for line in clean_lines(diagnostic.detail)]
    return [head, *([Text(f"   {where}", "cyan")] if where else []), *detail, Text()]


def clean_lines(text: str) -> list[str]:
    """Return the lines of a message, each safe to print."""
    return [clean(line) for line in text.splitlines()] or [""]


def show_stopped() -> None:
    """Say that a signal ended the command; nothing more is known here."""
    print_prose(stderr(), [Text("Stopped. Nothing that was recorded is lost.")])


def show_crash(what: str, record: Path | None) -> None:
    """Apologise, and say where the traceback is."""
    where = f"The traceback is in {record}." if record else "The traceback could not be written."
    line = Text.assemble(("This is a bug in batchspec: ", "bold red"), clean(what))
    print_prose(stderr(), [line, Text(f"{where} Nothing that was recorded is lost.")])


@contextmanager
def errors_as_json(enabled: bool) -> Generator[None]:  # noqa: FBT001 - reads as a sentence
    """Print an error that passes through as a JSON document on stdout, besides the message."""
    try:
        yield
    except BatchspecError as error:
        if enabled:
            print_json({"error": error_document(error)})
        raise


def error_document(error: BatchspecError) -> dict[str, Any]:
    """Return an error with its exit code and its diagnostics."""
    diagnostics = error.diagnostics if isinstance(error, SpecError) else ()
    return {
        "type": type(error).__name__,
        "message": str(error),
        "exit_code": int(exit_code_for(error)),
        "diagnostics": [diagnostic_document(d) for d in diagnostics],
    }


def diagnostic_document(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return one diagnostic."""
    source = diagnostic.source
    return {
        "severity": diagnostic.severity,
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
        "file": source.file if source else None,
        "line": source.line if source else None,
        "address": diagnostic.address,
    }
