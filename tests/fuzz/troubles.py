"""What goes wrong while a walk goes on: faults of the provider, of the network, and deaths."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from worlds import Faults


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of the embedded server.

    Attributes:
        loses: Whether it may take an answer that was paid, so that a request is answered twice.
    """

    fault: str
    options: dict[str, Any] = field(default_factory=dict)
    loses: bool = False


def _line(fault: str, **options: Any) -> Trouble:
    return Trouble(fault, options, loses=True)


def _call(fault: str, **options: Any) -> Trouble:
    return Trouble(fault, options)


ANY = ["files.create", "batches.create", "batches.retrieve", "files.content", "batches.list"]
TROUBLES: tuple[Trouble, ...] = (
    _call("connection_reset", on=ANY),
    _call("connection_reset", on=["batches.create"]),
    _call("reset_after_commit", on=["batches.create"]),
    _call("reset_after_commit", on=["files.create"]),
    _call("reset_after_commit", on=["batches.cancel", "files.delete"]),
    _call("read_timeout", on=["batches.create"], committed=True),
    _call("read_timeout", on=["batches.create", "files.create"]),
    _call("server_error", on=ANY),
    _call("server_error", on=["batches.create"], status=502, body="html", committed=True),
    _call("server_error", on=["batches.cancel", "files.delete"], status=503, committed=True),
    _call("rate_limited", on=ANY, retry_after=20.0),
    _call("rate_limited", on=["batches.create"], code="insufficient_quota"),
    _call("create_limit"),
    _call("denied", on=ANY),
    _call("cancel_conflict"),
    _call("slow_answer", on=ANY),
    _call("upload_refused", reason="proxy_too_large"),
    _call("upload_refused", reason="over_quota"),
    _call("truncated_download"),
    _call("truncated_download", ending="reset"),
    _call("gzip_download"),
    _call("file_not_visible"),
    _call("file_not_visible", refuses_create=False),
    _call("file_unlisted"),
    _call("validation_error"),
    _call("validation_error", line=1),
    _call("validation_error", line=40),
    _call("input_not_found"),
    _call("token_limit"),
    _call("long_validating"),
    _call("long_finalizing"),
    _call("stuck"),
    _call("stuck", ending="expired", remaining=2),
    _call("early_expiry"),
    _call("early_expiry", share=0.0),
    _call("unlisted_lines"),
    _call("cancel_race"),
    _call("slow_cancel"),
    _call("list_lag"),
    _call("odd_files", shuffled=True, blank_lines=True),
    _call("odd_files", bom=True, crlf=True, final_newline=False),
    _call("wrong_counts"),
    _call("wrong_counts", form="backwards"),
    _call("wrong_counts", form="null"),
    _call("unknown_status"),
    _call("odd_fields"),
    _call("odd_fields", form="absent"),
    _call("stale_read"),
    _call("error_file"),
    _call("error_file", form="empty_file"),
    _call("late_file_ids"),
    _call("late_file_ids", looks=3),
    _call("doubled_line"),
    _call("body_as_text"),
    _call("broken_line", form="line_separator"),
    _call("other_tenants"),
    _call("inserted_batch"),
    _call("short_pages"),
    _line("server_failure"),
    _line("no_output_file"),
    _line("error_file", form="null"),
    _line("file_expires", seconds=5.0),
    _line("lost_line"),
    _line("wrong_custom_id"),
    _line("wrong_custom_id", form="null"),
    _line("line_error"),
    _line("line_error", status=429),
    _line("line_error", status=400),
    _line("error_in_output"),
    _line("status_zero"),
    _line("hollow_body"),
    _line("hollow_body", form="error"),
    _line("broken_line"),
    _line("broken_line", form="invalid_utf8"),
    _line("request_timeout"),
)
"""By number, so that a walk can be written down."""


_FIRST = re.compile(rb'"custom_id":"([0-9a-f]{16})-1"')


MONEY = [
    number
    for number, trouble in enumerate(TROUBLES)
    if "batches.create" in trouble.options.get("on", ())
    and (trouble.fault == "reset_after_commit" or trouble.options.get("committed"))
]
"""Those in which a batch is made and nobody is told."""


class Killed(BaseException):
    """The process is gone: nobody may catch this."""


class Reaper(Faults):
    """Counts the moments in which a process can die, and lets it die in one of them.

    Attributes:
        left: Moments until then; None: it lives.
        sent: Where the fingerprints begin whose first turn is in a file that was uploaded.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.left: int | None = None
        self.sent: set[str] = set()

    def moment(self) -> None:
        """Pass a moment, or die."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.moment()

        async def noted() -> Message:
            message = await receive()
            found = _FIRST.findall(message.get("body") or b"")
            self.sent |= {name.decode() for name in found}
            return message

        await super().__call__(scope, noted, send)
        self.moment()

    @property
    def writes(self) -> int:
        """Calls so far that change something at the provider."""
        return sum(method != "GET" for method, _ in self.calls)


def mortal(reaper: Reaper) -> Callable[[Any], None]:
    """Return a reaction to events that lets the process die after a commit."""
    return lambda event: reaper.moment()
