"""The process of a tool with `executor="process"`: calls come in at stdin, answers leave at stdout.

It imports the spec modules as their loader does, and looks functions up by their names. Arguments
come as the model wrote them and results leave as the model sees them, so nothing is pickled. What
functions print goes to stderr.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

import anyio
from pydantic_core import from_json, to_json

from batchspec.errors import ModelRetry, asked
from batchspec.load.imports import Imports
from batchspec.load.policy import Sources, code_of
from batchspec.messages import JsonObject
from batchspec.redaction import raised
from batchspec.spec.result import awaited, content, is_async
from batchspec.spec.tool import Tool

START = (
    "import sys, json; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('path'); "
    "from batchspec.load.worker import serve; serve(**given)"
)


def command(root: Path | None, folder: str | None) -> list[str]:
    """Return the command that starts a process.

    Args:
        root: The project's folder, absolute.
        folder: Of the spec modules, relative to it; None: they are imported like any other.
    """
    given = {"path": sys.path, "root": root and str(root), "folder": folder}
    return [sys.executable, "-c", START, to_json(given).decode()]


def serve(root: str | None, folder: str | None) -> None:
    """Answer calls until there are no more; for `command`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    requests = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_read, args=(requests, lines), daemon=True).start()
    imports = Imports(Path(root), folder)() if root and folder else nullcontext()
    with imports:
        while True:
            # Not by Pydantic, which refuses half a surrogate pair.
            told = json.dumps(answer(from_json(lines.get())), ensure_ascii=False)
            out.write(told.encode("utf-8", "replace") + b"\n")
            out.flush()


def _read(requests: BinaryIO, lines: "queue.SimpleQueue[bytes]") -> None:
    """Pass on what comes; whoever asked is gone when nothing does, also in the middle of a call."""
    for line in requests:
        lines.put(line)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with what functions started
    os._exit(0)


def answer(request: JsonObject) -> JsonObject:
    """Return what came of one call.

    Args:
        request: `module` and `name` of the function, and `arguments` as the model wrote them.
            Without them the function is only looked up: what is returned is its code's fingerprint.
    """
    try:
        tool = _found(request["module"], request["name"])
        if "arguments" not in request:
            return {"code": code_of(tool, Sources()).fingerprint.hex()}
        arguments = tool.bind(request["arguments"])
        result = tool.function(**arguments)
        if is_async(result):
            result = anyio.run(awaited, result)
        return {"content": content(result)}
    except ModelRetry as retry:
        return {"retry": asked(retry)}
    except BaseException as error:  # noqa: BLE001 - it costs this call, never the process
        return {"raised": raised(error)}


def _found(module: str, name: str) -> Tool[..., Any]:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return cast("Tool[..., Any]", found) if isinstance(found, Tool) else Tool(found)


def importable(tool: Tool[..., Any]) -> bool:
    """Tell whether another process finds a tool's function by its name."""
    function: Callable[..., Any] = tool.function
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module in {None, "__main__"} or "<" in name:
        return False
    found: Any = sys.modules.get(str(module))
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is tool or found is function
