"""Exceptions of users' code as diagnostics with the file and line of that code."""

from dataclasses import replace
from pathlib import Path

from batchspec.errors import Diagnostic, Source, SpecError
from batchspec.redaction import raised
from batchspec.spec.origin import raise_site


def explain(error: BaseException, fallback: Source, doing: str) -> list[Diagnostic]:
    """Return what a user's code raised, as diagnostics.

    Args:
        error: What it raised; ours (`SpecError`) already is made of diagnostics.
        fallback: Where to point when the traceback holds no line of the user.
        doing: What was being done, for the summary: "loading the module".
    """
    if isinstance(error, SpecError):
        return list(error.diagnostics)
    where = raise_site(error) or fallback
    if isinstance(error, SyntaxError):
        text = f" in `{error.text.strip()}`" if error.text else ""
        return [_diagnostic("syntax error", f"{error.msg}{text}.", where)]
    if isinstance(error, ImportError):
        hint = (
            " Is it installed in this environment? A module of your own belongs in the"
            " project's folder or in specs/."
            if isinstance(error, ModuleNotFoundError)
            else ""
        )
        return [_diagnostic("import failed", f"{error}.{hint}", where)]
    if isinstance(error, SystemExit):
        detail = f"exit({error.code!r}) was called; a spec only declares."
        return [_diagnostic(f"{doing} ended the program", detail, where)]
    return [_diagnostic(f"{doing} failed", f"{raised(error)}.", where)]


def relative(source: Source, root: Path) -> Source:
    """Return a source with its file relative to the project's folder, where it is inside."""
    file = Path(source.file)
    return Source(str(file.relative_to(root)), source.line) if file.is_relative_to(root) else source


def shortened(found: Diagnostic, root: Path) -> Diagnostic:
    """Return a diagnostic whose file is relative to the project's folder."""
    return replace(found, source=relative(found.source, root)) if found.source else found


def _diagnostic(summary: str, detail: str, source: Source) -> Diagnostic:
    return Diagnostic(summary=summary, detail=detail, source=source)


def place(found: Diagnostic) -> tuple[str, int]:
    """Return file and line of a problem, to sort by."""
    source = found.source or Source("")
    return source.file, source.line or 0
