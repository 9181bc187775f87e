"""The views of `simulator serve` and `simulator clock`."""

import os
from pathlib import Path
from typing import Any

from pydantic_core import to_json
from rich.text import Text

from batchspec.cli.views.streams import (
    FORMAT_VERSION,
    print_json,
    print_prose,
    stderr,
    stdout,
    write_bytes,
)


def show_listening(
    base_url: str, directory: Path, token_file: Path | None, *, as_json: bool
) -> None:
    """Say where a server listens: in words on stderr, or as one line of JSON on stdout."""
    if not as_json:
        how = f"set OPENAI_BASE_URL={_callable(base_url)} OPENAI_API_KEY=simulated"
        print_prose(stderr(), [Text(f"listening on {base_url}; {how}")])
        return
    document = {
        "format_version": FORMAT_VERSION,
        "base_url": base_url,
        "admin_url": base_url.removesuffix("/v1") + "/admin",
        "pid": os.getpid(),
        "directory": str(directory.resolve()),
        "admin_token_file": token_file and str(token_file.resolve()),
    }
    write_bytes(to_json(document) + b"\n")


def _callable(url: str) -> str:
    """An address that stands for all of this machine's is none that others can call."""
    for every in ("//0.0.0.0:", "//[::]:"):
        url = url.replace(every, "//THIS-MACHINE:")
    return url


def warn(message: str) -> None:
    """Say on stderr what the user should know before it is too late."""
    print_prose(stderr(), [Text.assemble(("warning: ", "bold yellow"), message)])


def show_clock(clock: dict[str, Any], *, as_json: bool) -> None:
    """Print what a server's clock shows."""
    if as_json:
        print_json({"clock": clock})
        return
    speed = clock["speed"]
    runs = "it stands still" if speed == 0 else f"{speed:g} s a second"
    stdout().print(f"{clock['iso']}, {'another clock' if speed is None else runs}")
