"""Faults of the way to the server and back, and of the server's own front: behaviours 1 to 6."""

from abc import abstractmethod
from email.utils import formatdate
from typing import ClassVar, Literal

from pydantic import Field

from batchspec.simulator.faults.call import Call
from batchspec.simulator.faults.rule import OperationFault, Patterns
from batchspec.simulator.wire import HTTPFailure

_BAD_GATEWAY = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
_CHANGES = ("files.create", "batches.create", "batches.cancel")
_NO_RETRY: dict[bool | None, dict[str, str]] = {
    None: {},
    True: {"x-should-retry": "true"},
    False: {"x-should-retry": "false"},
}


class CallFault(OperationFault):
    """A fault of a single call."""

    @abstractmethod
    async def play(self, call: Call) -> None:
        """Do to the call what goes wrong with it."""


class ConnectionReset(CallFault):
    """The connection is reset, or refused, before the request is read."""

    fault: Literal["connection_reset"] = "connection_reset"
    behaviours: ClassVar = (1,)

    async def play(self, call: Call) -> None:
        await call.drop("refuse")


class ResetAfterCommit(CallFault):
    """The call takes effect, and the connection is reset before its answer."""

    fault: Literal["reset_after_commit"] = "reset_after_commit"
    behaviours: ClassVar = (2,)
    on: Patterns = _CHANGES

    async def play(self, call: Call) -> None:
        await call.commit()
        await call.drop("reset")


class ReadTimeout(CallFault):
    """No answer ever comes; the client gives up."""

    fault: Literal["read_timeout"] = "read_timeout"
    behaviours: ClassVar = (3,)
    committed: bool = False
    """Whether the call takes effect all the same."""
    closes_after: float | None = Field(default=None, ge=0)
    """Seconds of the server's clock after which it closes the connection; none: it never does, and
    the SDK waits for ten minutes."""

    async def play(self, call: Call) -> None:
        if self.committed:
            await call.commit()
        if self.closes_after is None:
            await call.drop("hang")
        else:
            await call.clock.sleep(self.closes_after)
            await call.drop("close")


class ServerError(CallFault):
    """A 5xx of the service, or of a proxy before it."""

    fault: Literal["server_error"] = "server_error"
    behaviours: ClassVar = (4,)
    status: int = Field(default=500, ge=500, le=599)
    body: Literal["json", "text", "html"] = "json"
    """The service's envelope, or what a proxy says as text or as a page."""
    committed: bool = False
    """Whether the call takes effect all the same."""
    retry: bool | None = None
    """Sent as `x-should-retry`, which the SDK obeys."""

    async def play(self, call: Call) -> None:
        if self.committed:
            await call.commit()
        reason = _BAD_GATEWAY.get(self.status, "Gateway Time-out")
        headers = _NO_RETRY[self.retry]
        if self.body == "json":
            message = "The server had an error while processing your request. Sorry about that!"
            await call.refuse(HTTPFailure(self.status, message), headers)
        elif self.body == "text":
            given = {"content-type": "text/plain", **headers}
            await call.answer(self.status, reason.encode(), given)
        else:
            page = f"<html>\n<head><title>{self.status} {reason}</title></head>\n</html>\n"
            await call.answer(self.status, page.encode(), {"content-type": "text/html", **headers})


class RateLimited(CallFault):
    """A 429 that says, in one of the usual ways, when to come again."""

    fault: Literal["rate_limited"] = "rate_limited"
    behaviours: ClassVar = (5,)
    retry_after: float | None = Field(default=1.0, ge=0)
    """Seconds; none: the answer does not say."""
    form: Literal["seconds", "milliseconds", "date"] = "seconds"
    """`retry-after` in seconds, `retry-after-ms`, or `retry-after` as an HTTP date."""
    code: str = "rate_limit_exceeded"
    """`insufficient_quota` says that waiting does not help."""

    async def play(self, call: Call) -> None:
        await call.refuse(self._failure(), self._headers(call.clock()))

    def _failure(self) -> HTTPFailure:
        if self.code == "insufficient_quota":
            message = "You exceeded your current quota, please check your plan and billing details."
            return HTTPFailure(429, message, code=self.code, kind="insufficient_quota")
        message = "Rate limit reached for requests. Please try again later."
        return HTTPFailure(429, message, code=self.code, kind="requests")

    def _headers(self, now: float) -> dict[str, str]:
        if self.retry_after is None:
            return {}
        if self.form == "milliseconds":
            return {"retry-after-ms": f"{self.retry_after * 1000:.0f}"}
        if self.form == "date":
            return {"retry-after": formatdate(now + self.retry_after, usegmt=True)}
        return {"retry-after": f"{self.retry_after:g}"}


class CreateLimit(CallFault):
    """The hourly limit of new batches, as if others of the account had used it up."""

    fault: Literal["create_limit"] = "create_limit"
    behaviours: ClassVar = (16,)
    on: Patterns = ("batches.create",)
    retry_after: float = Field(default=60.0, ge=0)
    """Seconds."""

    async def play(self, call: Call) -> None:
        message = "Rate limit reached for batch creation. Limit: 2,000 batches per hour."
        failure = HTTPFailure(429, message, code="rate_limit_exceeded", kind="requests")
        await call.refuse(failure, {"retry-after": f"{self.retry_after:g}"})


class Denied(CallFault):
    """The key is refused, or may not do this."""

    fault: Literal["denied"] = "denied"
    behaviours: ClassVar = (6,)
    status: Literal[401, 403] = 401

    async def play(self, call: Call) -> None:
        if self.status == 401:
            message = "Incorrect API key provided."
            await call.refuse(HTTPFailure(401, message, code="invalid_api_key"))
        else:
            message = "You have insufficient permissions for this operation."
            await call.refuse(HTTPFailure(403, message))


class CancelConflict(CallFault):
    """A cancel is refused because the batch is ending."""

    fault: Literal["cancel_conflict"] = "cancel_conflict"
    behaviours: ClassVar = (26,)
    on: Patterns = ("batches.cancel",)
    status: str = "finalizing"
    """What the answer says the batch's status to be."""

    async def play(self, call: Call) -> None:
        await call.refuse(HTTPFailure(409, f"Cannot cancel a batch with status '{self.status}'."))


class SlowAnswer(CallFault):
    """The answer takes its time, on the server's clock."""

    fault: Literal["slow_answer"] = "slow_answer"
    behaviours: ClassVar = (3,)
    seconds: float = Field(default=30.0, ge=0)

    async def play(self, call: Call) -> None:
        await call.clock.sleep(self.seconds)
        await call.proceed()


class ServerKilled(CallFault):
    """The server's process is killed; what it had committed is there when it is started again."""

    fault: Literal["server_killed"] = "server_killed"
    behaviours: ClassVar = (51,)
    committed: bool = False
    """Whether the call takes effect before."""

    async def play(self, call: Call) -> None:
        if self.committed:
            await call.commit()
        await call.drop("kill")


CALLS = (
    ConnectionReset,
    ResetAfterCommit,
    ReadTimeout,
    ServerError,
    RateLimited,
    CreateLimit,
    Denied,
    CancelConflict,
    SlowAnswer,
    ServerKilled,
)
