"""What others do beside a watcher: commands, webhooks, scrapes."""

import base64
import hashlib
import hmac
import json
import re
import time
from random import Random
from urllib.request import Request

from soak.services import fetched
from soak.stage import SECRET, Stage

_BATCH = re.compile(r'"(batch_[0-9a-f]+)"')


class Visits:
    """Looks, asks and agrees while somebody watches."""

    def __init__(self, stage: Stage, random: Random) -> None:
        self.stage, self.random = stage, random

    def status(self) -> None:
        """Ask for the status."""
        self.stage.run("status", "--json", codes={0, 3, 4}).document()

    def results(self) -> None:
        """Read answers."""
        address = self.random.choice(["words.say", "words.again", "desk.triage", "notes.note"])
        self.stage.run("results", address, "--json", codes={0, 1, 64})

    def plan(self) -> None:
        """Plan, while files may be broken: that is an error and no more."""
        self.stage.run("plan", "--json", codes={0, 1, 7})

    def collect_garbage(self) -> None:
        """Tidy up, having looked at what will be gone; who watches holds the lock mostly."""
        self.stage.finish("server")
        self.stage.read_lines()
        self.stage.run("state", "gc", "--json", "--keep", "120s", codes={0, 1, 5})

    def apply(self) -> None:
        """Apply beside: it is refused, or waits, or finds the lock free for a moment."""
        how = self.random.choice([[], ["--lock-timeout", "3"]])
        self.stage.run("apply", "--auto-approve", "--json", *how, codes={0, 1, 4, 5, 7})

    def approve(self) -> None:
        """Agree to what waits for consent."""
        waiting = self.stage.run("status", "--json", codes={0, 3, 4}).document()["pending"]
        for plan in waiting[:1]:
            # It may be replaced in this moment.
            self.stage.run("approve", plan["plan"], codes={0, 6, 64})

    def webhook(self) -> None:
        """Send a webhook: right and about some batch, or forged."""
        batch = self.random.choice(["batch_of_others", *self._batches()])
        forged = self.random.random() < 0.5
        event = {
            "object": "event",
            "id": "evt_1",
            "type": "batch.completed",
            "created_at": int(time.time()),
            "data": {"id": batch},
        }
        body = json.dumps(event).encode()
        moment = str(int(time.time()))
        signed = b"evt_1." + moment.encode() + b"." + body
        digest = hmac.new(b"x" * 24 if forged else SECRET, signed, hashlib.sha256).digest()
        headers = {
            "webhook-id": "evt_1",
            "webhook-timestamp": moment,
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
            "content-type": "application/json",
        }
        url = f"http://127.0.0.1:{self.stage.main.port}/webhooks/openai"
        status, _ = fetched(Request(url, body, headers))
        # 0: it has just been started, and does not listen yet, or it stands still.
        assert status in {0, 400 if forged else 204}, (status, forged)
        self.stage.done[f"webhook {'forged' if forged else 'right'}: {status or 'nobody'}"] += 1

    def _batches(self) -> list[str]:
        """Return batches that were told of lately."""
        return _BATCH.findall("".join(list(self.stage.main.last)))[-1:]

    def scrape(self) -> None:
        """Ask for health and metrics."""
        for path in ("/livez", "/readyz", "/metrics"):
            status, body = self.stage.main.ask(path)
            self.stage.done[f"GET {path}: {status or 'nobody'}"] += 1
            assert status in {0, 200, 503}, (path, status, body)
            assert path != "/metrics" or not status or "batchspec_engines_total" in body
