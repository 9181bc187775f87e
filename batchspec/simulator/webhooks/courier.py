"""Takes events to their endpoints, under the server's clock, and again when that fails."""

import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from threading import Condition, Thread

import httpx2

from batchspec.simulator.addresses import is_loopback
from batchspec.simulator.clock import Timekeeper
from batchspec.simulator.faults.rule import Occasion
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.faults.tally import Tally
from batchspec.simulator.faults.webhooks import WebhookFault
from batchspec.simulator.jobs.database import Database, Write
from batchspec.simulator.jobs.records import BatchRecord
from batchspec.simulator.webhooks.outbox import Outbox
from batchspec.simulator.webhooks.records import Delivery, EndpointRecord, Oddity
from batchspec.simulator.webhooks.signing import mint_secret, sign

_TRIES_FOR = 259_200.0
"""Seconds for which a delivery is tried: 72 hours."""
_PAUSES = (5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)
"""Seconds between one attempt and the next; the last one goes on."""
_AT_ONCE = 8
"""To how many endpoints something is sent at the same time."""
_TIMEOUT = 10.0
"""Real seconds a receiver has to answer."""
_LAST_WORDS = 2.0
"""Real seconds that what is on its way when the server stops has to arrive."""


class DeliveryError(Exception):
    """An endpoint could not be reached, or did not answer."""


class Courier:
    """Delivers what is in an outbox, with threads of its own while there is something.

    An endpoint gets one event at a time, in the order in which they are due. An attempt that is
    interrupted is made again: receivers have to know what they have by its `webhook-id`.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Timekeeper,
        configured: Mapping[str, str],
        *,
        real: Callable[[], float] = time.time,
    ) -> None:
        """Make a courier.

        Args:
            outbox: What there is to deliver.
            clock: Says when.
            configured: Secrets that are not in the database, by endpoint id.
            real: Says the time that signatures have: receivers compare it with their own, which
                no simulated clock moves.
        """
        self.outbox = outbox
        self.configured = configured
        self._clock = clock
        self._real = real
        self._condition = Condition()
        self._busy: dict[str, Thread] = {}
        self._thread: Thread | None = None
        self._closed = False
        self._clients: dict[bool, httpx2.Client] = {}

    def changing(self, old: BatchRecord, new: BatchRecord) -> Write:
        """Post what the end of a batch is to tell, in the transaction of its end."""
        return self.outbox.post(old, new)

    def changed(self, batch: BatchRecord) -> None:
        """Deliver what the end of a batch has posted."""
        if batch.terminal:
            self.wake()

    def wake(self) -> None:
        """See to it that whatever there is gets delivered."""
        with self._condition:
            if self._thread is None and not self._closed:
                self._thread = Thread(target=self._work, name="webhooks", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def close(self) -> None:
        """Stop; what is on its way has a moment to arrive."""
        with self._condition:
            self._closed = True
            threads = [*self._busy.values(), *([self._thread] if self._thread else [])]
            self._condition.notify_all()
        for thread in threads:
            thread.join(_LAST_WORDS)
        for client in self._clients.values():
            client.close()

    def send(self, endpoint: EndpointRecord, delivery: Delivery) -> int:
        """Make one attempt now, and return the status of the answer.

        Raises:
            DeliveryError: There was none.
        """
        try:
            return self._post(endpoint, delivery)
        # Names that no resolver takes are a `ValueError`, clients that are closed a `RuntimeError`.
        except (httpx2.HTTPError, ValueError, RuntimeError) as error:
            raise DeliveryError(str(error) or type(error).__name__) from error

    def _post(self, endpoint: EndpointRecord, delivery: Delivery) -> int:
        oddity = delivery.oddity
        keys = endpoint.secrets(self.configured.get(endpoint.id), self._clock())
        timestamp = int(self._real() - oddity.stale)
        headers = {
            "content-type": "application/json",
            "user-agent": "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(
                [mint_secret()] if oddity.forged else keys, delivery.id, timestamp, delivery.body
            ),
        }
        content = delivery.body.encode()
        # Only the status counts; a receiver that goes on and on is not read.
        with self._client(endpoint).stream(
            "POST", endpoint.url, content=content, headers=headers
        ) as answer:
            return answer.status_code

    def _client(self, endpoint: EndpointRecord) -> httpx2.Client:
        """Return a client that goes through the proxies of the environment, if far enough."""
        far = not is_loopback(httpx2.URL(endpoint.url).host)
        with self._condition:
            if far not in self._clients:
                self._clients[far] = httpx2.Client(timeout=_TIMEOUT, trust_env=far)
            return self._clients[far]

    # --- at work

    def _work(self) -> None:
        with self._condition:
            while not self._closed:
                found = self.outbox.next(self._busy)
                if found is None and not self._busy:
                    break
                due = found[1].due_at if found and len(self._busy) < _AT_ONCE else math.inf
                if found and due <= self._clock():
                    thread = Thread(target=self._deliver, args=found, name="webhook", daemon=True)
                    self._busy[found[1].endpoint_id] = thread
                    thread.start()
                else:
                    self._clock.wait_until(self._condition, due)
            self._thread = None

    def _deliver(self, number: int, delivery: Delivery, endpoint: EndpointRecord) -> None:
        status, error = None, None
        try:
            status = self.send(endpoint, delivery)
        except DeliveryError as failure:
            error = str(failure)
        with self._condition:
            try:
                if not self._closed:
                    self.outbox.settle(number, settled(delivery, status, error))
            except sqlite3.Error:
                # What cannot be remembered would be sent again at once, for ever.
                self._closed = True
            finally:
                del self._busy[delivery.endpoint_id]
                self._condition.notify_all()


def employ(
    database: Database, clock: Timekeeper, faults: Faults, webhooks: Mapping[str, str]
) -> Courier:
    """Return a courier at work for a server, until its database is closed.

    Args:
        database: Of the server; its batches are what there is to tell of.
        clock: Of the server.
        faults: What goes wrong.
        webhooks: Secrets by the URL of endpoints that this start was given.
    """

    def draw(kind: str, tally: Tally) -> Oddity:
        struck = faults.draw(WebhookFault, Occasion(event=kind), tally)
        return reduce(lambda oddity, fault: fault.twist(oddity), struck, Oddity())

    outbox = Outbox(database, draw)
    courier = Courier(outbox, clock, outbox.configure(webhooks, clock()))
    database.watch(courier)
    database.closing.callback(courier.close)
    courier.wake()
    return courier


def settled(delivery: Delivery, status: int | None, error: str | None) -> Delivery:
    """Return what becomes of a delivery by an attempt that was due.

    The next attempt follows from when this one was due, not from when it was made: a clock that
    has jumped over a day finds the attempts of a day.
    """
    tried = replace(delivery, attempts=delivery.attempts + 1, status=status, error=error)
    if status is not None and 200 <= status < 300:
        return replace(tried, state="delivered")
    due = delivery.due_at + _PAUSES[min(delivery.attempts, len(_PAUSES) - 1)]
    if due > delivery.happened_at + _TRIES_FOR:
        return replace(tried, state="abandoned")
    return replace(tried, due_at=due)
