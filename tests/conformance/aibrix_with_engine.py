"""Starts aibrix's metadata service in dry run, with a server that answers in place of its echo.

Run by the Python that aibrix is installed for. Outside of a cluster the service itself offers no
way to name such a server.
"""

import sys

from aibrix.batch.client.sources import GatewayEndpointSource
from aibrix.metadata import app

if __name__ == "__main__":
    name, engine, *options = sys.argv
    app.NoopEndpointSource = lambda: GatewayEndpointSource(engine)
    sys.argv = [name, *options]
    app.main()
