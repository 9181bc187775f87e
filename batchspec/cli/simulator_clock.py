"""`batchspec simulator clock`."""

import os
from typing import Any

import click

from batchspec.cli.factor import Factor
from batchspec.cli.views.simulator import show_clock
from batchspec.errors import ProviderError, UsageError

_TOKEN_VARIABLE = "BATCHSPEC_SIMULATOR_ADMIN_TOKEN"  # noqa: S105  a name, no token


@click.command()
@click.option("--advance", metavar="TIME", help="Move it on: 90s, 15m, 24h, 1d12h.")
@click.option("--set", "moment", metavar="TIME", help="Move it on to a moment: 2027-01-01T12:00Z.")
@click.option("--speed", type=Factor(), help="Seconds in one real second.")
@click.option(
    "--url",
    default="http://127.0.0.1:8765",
    show_default=True,
    help="Where the server listens, with or without /v1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def clock(
    *, advance: str | None, moment: str | None, speed: float | None, url: str, as_json: bool
) -> None:
    """Show the clock of a running server, or move it.

    What is due by then is done when the command returns.
    """
    move = {"advance": advance, "set": moment, "speed": speed}
    given = {name: value for name, value in move.items() if value is not None}
    show_clock(_call(url, given), as_json=as_json)


def _call(url: str, move: dict[str, Any]) -> dict[str, Any]:
    # Imported here so that other commands start without them.
    import httpx2  # noqa: PLC0415

    from batchspec.simulator.addresses import is_loopback, parse_url  # noqa: PLC0415

    try:
        host = parse_url(url).hostname or ""
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error
    address = url.rstrip("/").removesuffix("/v1") + "/admin/clock"
    token = os.environ.get(_TOKEN_VARIABLE)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx2.request(
            "POST" if move else "GET",
            address,
            json=move or None,
            headers=headers,
            timeout=None,
            trust_env=not is_loopback(host),
        )
    except httpx2.HTTPError as error:
        raise ProviderError(
            f"No server answers at {url}: {error}. Start one with `batchspec simulator serve`, or "
            "say where it is with --url."
        ) from error
    try:
        document: dict[str, Any] = answer.json()
    except ValueError as error:
        raise ProviderError(
            f"What answers at {url} is no simulator: HTTP {answer.status_code} without JSON."
        ) from error
    if answer.status_code == 401:
        raise ProviderError(
            f"The server at {url} wants its admin token. Set {_TOKEN_VARIABLE} to it; the server "
            "said when it started where it is."
        )
    if answer.status_code == 400:
        raise UsageError(document["error"]["message"])
    if answer.status_code != 200:
        raise ProviderError(document["error"]["message"])
    return document
