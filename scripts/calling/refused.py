"""What a server says instead of an answer, by REST and by gRPC alike, as one typed error.

    no connection                      -> NoServer
    a status, or an error in the bytes -> Refused, with what the error body says

Over gRPC TorchServe says OK to a refused item, too: only the bytes tell.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from scripts.errors import CommandError


class NoServer(CommandError):
    """Nothing answers there, or the connection broke off."""

    code = "no_server"


class Refused(CommandError):
    """A request that was answered with an error; `error` is its JSON object as it came.

    `retry_after`, in seconds, says that the same request may do better later.
    """

    code = "refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        hint: str = "",
        code: str = "refused",
        request_id: str = "",
        error: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code, status=status)
        self.request_id = request_id
        self.error = error or msgspec.json.encode({"code": code, "message": message, "hint": hint})
        self.retry_after = retry_after

    def __str__(self) -> str:
        """With what its hint speaks of: the cause where it is known here, else the header's seconds and the
        id that the log has."""
        if self.__cause__ is not None:
            return f"{self.message}: {self.__cause__}"
        known = [] if self.retry_after is None else [f"retry after {self.retry_after:g} s"]
        if self.status >= 500 and self.request_id:
            known.append(f"request_id {self.request_id}")
        return super().__str__() + (f" ({', '.join(known)})" if known else "")


class Fault(Struct, frozen=True):
    """What is inside an error body; a request of many items has `items` besides."""

    code: str
    message: str
    hint: str = ""


class ErrorBody(Struct, frozen=True, forbid_unknown_fields=True):
    """{"error": {...}, "request_id": "..."} and nothing else: no task answers with just that."""

    error: Raw
    request_id: str


class TorchServeError(Struct, frozen=True):
    """{"code": 404, "type": "...Exception", "message": "..."}: TorchServe's own."""

    code: int
    message: str


_error_body = msgspec.json.Decoder(ErrorBody)
_fault = msgspec.json.Decoder(Fault)
_torchserve_error = msgspec.json.Decoder(TorchServeError)

REMEDIES = {
    401: "set PTHSERVE_KEY to your key",
    404: "`scripts/pthserve list` shows what is served",
    413: "send less in one request",
    503: "try again; `scripts/pthserve status` says how the models are",
    504: "the model took longer than its responseTimeout allows; send less, or raise it",
}


def read(body: bytes, *, status: int = 0, retry_after: float | None = None) -> Refused | None:
    """The error that a body holds; None where it is an answer.

    Bytes over gRPC have no status: it is 400 or 500, by whose fault it is.
    """
    try:
        found = _error_body.decode(body)
        fault = _fault.decode(found.error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Refused(
        fault.message,
        hint=fault.hint,
        code=fault.code,
        status=status or (500 if fault.code == "internal" else 400),
        request_id=found.request_id,
        error=bytes(found.error),
        retry_after=retry_after,
    )


def of_status(status: int, body: bytes, *, retry_after: float | None = None, message: str = "") -> Refused:
    """The error of an answer whose status says that it is one; `message` is for a body that isn't ours."""
    found = read(body, status=status, retry_after=retry_after)
    if found is not None:
        return found
    message = message or _message(body) or f"the server answered with status {status}"
    return Refused(message, status=status, hint=REMEDIES.get(status, ""), retry_after=retry_after)


def no_server(address: str, why: str = "") -> NoServer:
    return NoServer(
        f"no server answers at {address}" + (f" ({why})" if why else ""),
        hint="start it with `scripts/pthserve up`, or give another --url",
    )


def no_address(given: str) -> CommandError:
    return CommandError(f"{given!r} is no address", hint="give one like http://127.0.0.1:8000")


def seconds(value: str | None) -> float | None:
    """A Retry-After header's seconds; one second where it is a date, None where there is no header."""
    if value is None:
        return None
    return float(value) if value.isdecimal() else 1.0


def _message(body: bytes) -> str:
    try:
        return _torchserve_error.decode(body).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        return " ".join(body[:200].decode("utf-8", "replace").split())
