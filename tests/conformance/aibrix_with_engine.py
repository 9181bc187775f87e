"""Starts aibrix's metadata service in dry run, with a server that answers in place of its echo.

Run by the Python that aibrix is installed for. Outside of a cluster the service itself offers no
way to name such a server.
"""

import sys

import httpx
from aibrix.batch.client.channel import HttpChannel
from aibrix.batch.client.sources.static import _SingleChannelSource
from aibrix.metadata import app

if __name__ == "__main__":
    name, engine, *options = sys.argv
    http = httpx.AsyncClient(headers={"authorization": "Bearer engine"})
    channel = HttpChannel(engine, client=http)
    app.NoopEndpointSource = lambda: _SingleChannelSource(channel, capacity=4)
    sys.argv = [name, *options]
    app.main()
