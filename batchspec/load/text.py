"""Files that are not what they should be, as diagnostics."""

from pathlib import Path

from batchspec.errors import Diagnostic, Source


def not_text(file: str, line: int | None, encoding: str, error: UnicodeDecodeError) -> Diagnostic:
    """Return the diagnostic of bytes that are no text."""
    byte = error.object[error.start]
    return Diagnostic(
        summary=f"not valid {encoding}",
        detail=f"{error.reason.capitalize()} (byte {byte:#04x}). Save the file as UTF-8, or name"
        " its encoding, for example encoding='cp1252'.",
        source=Source(file, line),
    )


def unreadable(path: str, root: Path, source: Source, error: OSError) -> Diagnostic:
    """Return the diagnostic of a data file that cannot be opened.

    Args:
        path: As the user wrote it.
        root: The project's folder.
        source: Where the user wrote it.
        error: What opening it raised.
    """
    reason = (error.strerror or str(error)).lower()
    return Diagnostic(
        summary="data file cannot be read",
        detail=f"{path}: {reason} (looked for {root / path}). Paths are relative to the project's"
        " folder.",
        source=source,
    )
