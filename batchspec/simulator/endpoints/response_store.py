"""The responses of live calls, kept in memory so that later calls can refer to them."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

from batchspec.simulator.endpoints.responses_items import item_not_found, type_of
from batchspec.simulator.wire import HTTPFailure, Json

_KEPT = 1_000


class Stored(NamedTuple):
    """A response, and all the items it answered."""

    response: Json
    items: Sequence[Json]


class ResponseStore:
    """The newest responses of this process, a thousand at most; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._responses: OrderedDict[str, Stored] = OrderedDict()

    def put(self, response: Json, items: Sequence[Json]) -> None:
        with self._lock:
            self._responses[response["id"]] = Stored(response, items)
            if len(self._responses) > _KEPT:
                self._responses.popitem(last=False)

    def get(self, response_id: str) -> Stored | None:
        with self._lock:
            return self._responses.get(response_id)

    def delete(self, response_id: str) -> bool:
        """Forget a response; false when there was none."""
        with self._lock:
            return self._responses.pop(response_id, None) is not None

    def history(self, response_id: str | None) -> Sequence[Json]:
        """Every item up to a response, its own output included.

        Raises:
            HTTPFailure: The response is not known.
        """
        if response_id is None:
            return ()
        stored = self.get(response_id)
        if stored is None:
            message = f"Previous response with id '{response_id}' not found."
            code, param = "previous_response_not_found", "previous_response_id"
            raise HTTPFailure(400, message, code=code, param=param)
        return [*stored.items, *stored.response["output"]]

    def resolved(self, items: Sequence[Json]) -> list[Json]:
        """The items with every reference replaced by what it refers to.

        Raises:
            HTTPFailure: An item is not known.
        """
        return [
            self._find(item["id"]) if type_of(item) == "item_reference" else item for item in items
        ]

    def _find(self, item_id: str) -> Json:
        with self._lock:
            stored = list(self._responses.values())
        for response, _ in reversed(stored):
            for item in response["output"]:
                if item["id"] == item_id:
                    found: Json = item
                    return found
        raise item_not_found(item_id)
