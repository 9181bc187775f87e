"""`batchspec simulator serve`."""

import errno
import os
import secrets
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from batchspec.cli.factor import Factor
from batchspec.cli.views.simulator import show_listening, warn
from batchspec.errors import ConfigurationError, LockedError, StateError

if TYPE_CHECKING:
    import socket

    from batchspec.simulator import Recording, SimulatedClock

TOKEN_VARIABLE = "BATCHSPEC_SIMULATOR_ADMIN_TOKEN"  # noqa: S105  a name, no token
_SECRET_VARIABLE = "OPENAI_WEBHOOK_SECRET"  # noqa: S105  likewise
_UPSTREAM_KEY = "BATCHSPEC_UPSTREAM_API_KEY"
_SHORTEST_TOKEN = 16
Given = TypeVar("Given")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port; 0 for any free one.",
)
@click.option(
    "--directory",
    default=Path("state/simulator"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where files and batches are kept.",
)
@click.option(
    "--answers",
    metavar="[MODEL=]REF",
    multiple=True,
    help="Source of answers, of all models or of those that fit a pattern: "
    "path/to/file.py:function or path/to/file.jsonl; by default they are made up from the "
    "requests. Can be given several times; the first that fits counts.",
)
@click.option(
    "--upstream",
    metavar="URL",
    help="Get answers from this live endpoint (Ollama, vLLM, llama.cpp …), given up to and with "
    f"/v1; a key is read from {_UPSTREAM_KEY}.",
)
@click.option(
    "--concurrency",
    default=8,
    show_default=True,
    type=click.IntRange(1, 1_000),
    help="Requests to the upstream at a time.",
)
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the upstream's answers in this file, and ask only for what is not in it.",
)
@click.option(
    "--models",
    metavar="NAME,…",
    help="The models that exist; by default any name does.",
)
@click.option(
    "--pace",
    default=1.0,
    show_default=True,
    type=Factor(),
    help="Factor on the time batches take; at 1 about ten seconds, at 0 none.",
)
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=Factor(),
    help="Seconds of the server's clock in a real one; at 0 it stands still until it is moved.",
)
@click.option(
    "--start-at",
    metavar="TIME",
    help="What the server's clock shows first, as 2026-09-01T12:00:00Z; by default the real time, "
    "or where it stood in this directory.",
)
@click.option(
    "--enqueued-token-limit",
    type=click.IntRange(min=1),
    help="Prompt tokens allowed in open batches of one model.",
)
@click.option(
    "--webhook",
    "webhooks",
    metavar="URL",
    multiple=True,
    help=f"Tell this address when a batch has ended, signed with the secret in {_SECRET_VARIABLE}; "
    "may be repeated.",
)
@click.option(
    "--scenario",
    "wanted",
    metavar="NAME|FILE",
    multiple=True,
    help="Faults to have, see `batchspec simulator scenarios`; may be repeated.",
)
@click.option("--seed", default=0, show_default=True, help="Of what the faults draw.")
@click.option("--json", "as_json", is_flag=True, help="Say where it listens as one line of JSON.")
def serve(  # noqa: PLR0913  one argument per option
    *,
    host: str,
    port: int,
    directory: Path,
    answers: Sequence[str],
    upstream: str | None,
    concurrency: int,
    record: Path | None,
    models: str | None,
    pace: float,
    speed: float,
    start_at: str | None,
    enqueued_token_limit: int | None,
    webhooks: Sequence[str],
    wanted: Sequence[str],
    seed: int,
    as_json: bool,
) -> None:
    """Serve the Files and Batches API until interrupted."""
    # Imported here so that other commands start without the server's libraries.
    from batchspec import simulator as server  # noqa: PLC0415
    from batchspec.simulator.occupancy import occupied  # noqa: PLC0415

    held = ExitStack()
    recording = _given("--record", _recording, record, upstream, held)
    lifelike = server.Pace(validating=2, in_progress=6, finalizing=1, cancelling=2)
    settings: dict[str, Any] = {
        "model": _given("--answers", _model, answers),
        "source": _given("--upstream", _source, upstream, concurrency, recording, answers),
        "pace": lifelike.times(pace),
        "clock": _given("--start-at", _clock, start_at, speed),
        "models": models and [name.strip() for name in models.split(",")],
        "enqueued_token_limit": enqueued_token_limit,
        "webhooks": _given("--webhook", _signed, webhooks),
        "faults": _given("--scenario", partial(server.load_faults, seed=seed), wanted),
    }
    with held:
        listener = held.enter_context(_listening(host, port))
        with _troubles(directory):
            held.enter_context(occupied(directory))
            access, token_file = _access(host, directory)
            app = server.create_app(directory, access=access, **settings)
        server.serve(
            app,
            host=host,
            listener=listener,
            on_listening=lambda url: show_listening(url, directory, token_file, as_json=as_json),
            on_exposed=partial(_warn, token_file),
        )


# --- options


def _given(option: str, read: Callable[..., Given], *values: Any) -> Given:
    """Read an option; what is wrong with it is said in its name."""
    try:
        return read(*values)
    except (ValueError, OSError) as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _model(answers: Sequence[str]) -> Any:
    from batchspec.simulator import load_answers  # noqa: PLC0415

    return load_answers(dict(map(_route, answers))) if answers else None


def _recording(record: Path | None, upstream: str | None, held: ExitStack) -> "Recording | None":
    from batchspec.simulator import Recording  # noqa: PLC0415

    if record is None:
        return None
    if upstream is None:
        raise ValueError("it keeps what an upstream answers: name one with --upstream.")
    recording = Recording(record, growing=True)
    held.callback(recording.close)
    recording.claim()
    return recording


def _source(
    upstream: str | None,
    concurrency: int,
    recording: "Recording | None",
    answers: Sequence[str],
) -> Any:
    from batchspec.simulator import RecordingSource, Upstream  # noqa: PLC0415
    from batchspec.simulator.addresses import parse_url  # noqa: PLC0415

    if upstream is None:
        return None
    if answers:
        raise ValueError("answers come either from --answers or from --upstream; leave out one.")
    parse_url(upstream)
    key = os.environ.get(_UPSTREAM_KEY)
    source = Upstream(upstream, api_key=key, concurrency=concurrency, on_outage=warn, on_hold=warn)
    return source if recording is None else RecordingSource(source, recording, on_trouble=warn)


def _route(answers: str) -> tuple[str, str]:
    """Return the pattern of models and the reference."""
    pattern, separator, reference = answers.rpartition("=")
    return (pattern, reference) if separator else ("*", reference)


def _clock(start_at: str | None, speed: float) -> "SimulatedClock":
    from batchspec.simulator import SimulatedClock  # noqa: PLC0415
    from batchspec.simulator.durations import parse_moment  # noqa: PLC0415

    return SimulatedClock(None if start_at is None else parse_moment(start_at), speed=speed)


def _signed(urls: Sequence[str]) -> Mapping[str, str]:
    from batchspec.simulator.addresses import parse_url  # noqa: PLC0415
    from batchspec.simulator.webhooks.signing import check_secret  # noqa: PLC0415

    secret = os.environ.get(_SECRET_VARIABLE, "")
    if urls and not secret:
        raise ValueError(
            f"there is no secret to sign with; set {_SECRET_VARIABLE}, which the receiver's SDK "
            "reads as well, for example to whsec_ and some base64."
        )
    for url in urls:
        parse_url(url)
        check_secret(secret)
    return dict.fromkeys(urls, secret)


# --- what a server needs for itself


@contextmanager
def _listening(host: str, port: int) -> "Generator[socket.socket]":
    from batchspec.simulator.server import listen  # noqa: PLC0415

    try:
        listener = listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = (
                f"Port {port} of {host} is in use. Stop what listens there, or choose another "
                "one with --port; 0 takes any free one."
            )
        else:
            message = f"It is not possible to listen on {host}, port {port}: {error.strerror}."
        raise ConfigurationError(message) from error
    with listener:
        yield listener


@contextmanager
def _troubles(directory: Path) -> Generator[None]:
    """Say in a sentence why a directory cannot be served."""
    from batchspec.simulator.occupancy import OccupiedError  # noqa: PLC0415

    try:
        yield
    except OccupiedError as error:
        raise LockedError(str(error)) from error
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StateError(
            f"{directory} cannot be used: {reason}. Name a directory that can be written to with "
            "--directory."
        ) from error


def _access(host: str, directory: Path) -> tuple[Any, Path | None]:
    """Return who may administer, and the file with the token if one was made up."""
    from batchspec.simulator import Access  # noqa: PLC0415
    from batchspec.simulator.addresses import is_loopback  # noqa: PLC0415

    given = os.environ.get(TOKEN_VARIABLE)
    if given is not None and len(given) < _SHORTEST_TOKEN:
        raise ConfigurationError(
            f"{TOKEN_VARIABLE} has fewer than {_SHORTEST_TOKEN} characters. Set a longer one, or "
            "none."
        )
    if is_loopback(host):
        return Access(token=given, hosts={"127.0.0.1", "::1", "localhost", host}), None
    if given is not None:
        return Access(token=given), None
    token, path = secrets.token_urlsafe(32), directory / "admin-token"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return Access(token=token), path


def _warn(token_file: Path | None, told: str) -> None:
    warn(f"{told} It is {f'in {token_file}' if token_file else f'that of {TOKEN_VARIABLE}'}.")
