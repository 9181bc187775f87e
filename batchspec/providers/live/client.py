"""The embedded server as a provider: batches that run in this process against a live endpoint."""

from collections.abc import Callable

import httpx2

from batchspec.ids import RemoteId
from batchspec.providers.openai.client import OpenAIClient
from batchspec.state.records import TERMINAL
from batchspec.state.remote import RemoteBatch, Unreachable


class LiveClient(OpenAIClient):
    """Implements `ports.Client`, and says when the endpoint behind the server is away.

    Args:
        transport: To the embedded server.
        outage: Says why no request can be answered; None when all is well.
    """

    def __init__(
        self, transport: httpx2.AsyncBaseTransport, outage: Callable[[], str | None]
    ) -> None:
        # Nothing leaves the process here, so that neither the key nor the host is read.
        super().__init__(api_key="local", base_url="http://local/v1", transport=transport)
        self._outage = outage

    async def retrieve(self, batch: RemoteId) -> RemoteBatch:
        """Ask for one batch.

        Raises:
            Unreachable: It cannot go on, because what is to answer is not there.
        """
        found = await super().retrieve(batch)
        reason = self._outage()
        if reason is not None and found.status not in TERMINAL:
            raise Unreachable(reason)
        return found
