"""Answers of pure tools: equal calls run once, whichever rows and runs they are of."""

from collections.abc import Callable, Iterable
from hashlib import sha256

import anyio
from pydantic_core import from_json

from batchspec.fingerprint import canonical_json


def memo_key(name: str, code: bytes, arguments: str) -> bytes | None:
    """Return the key under which equal calls have one answer; None: it has no canonical form.

    Args:
        name: Of the tool.
        code: Its fingerprint: of the function and of all of the project it uses.
        arguments: JSON text as the model wrote it.
    """
    try:
        given = canonical_json([name, code.hex(), from_json(arguments.strip() or "{}")])
    except ValueError:
        return None
    return sha256(given).digest()


class Memo:
    """Which calls run now, and answers that are not on record yet; the others are in the state."""

    def __init__(self) -> None:
        self._running: dict[bytes, anyio.Event] = {}
        self._fresh: dict[bytes, str] = {}

    async def wait(self, key: bytes) -> bool:
        """Wait while an equal call runs; tells whether one did."""
        running = self._running.get(key)
        if running is not None:
            await running.wait()
        return running is not None

    def begin(self, key: bytes) -> Callable[[str | None], None]:
        """Note that a call runs; what is returned takes its answer, None where there is none."""
        running = anyio.Event()
        self._running.setdefault(key, running)

        def end(answer: str | None) -> None:
            if answer is not None:
                self._fresh[key] = answer
            if self._running.get(key) is running:
                del self._running[key]
            running.set()

        return end

    def fresh(self, key: bytes) -> str | None:
        """Return an answer that is not on record yet."""
        return self._fresh.get(key)

    def recorded(self, keys: Iterable[bytes | None]) -> None:
        """Forget what is on record now."""
        for key in keys:
            if key is not None:
                self._fresh.pop(key, None)
