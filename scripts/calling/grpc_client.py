"""TorchServe's inference service over gRPC, beside inference.py, which has its URLs."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

from scripts.calling import credentials, refused, stubs
from scripts.calling.inference import TIMEOUT
from scripts.calling.refused import NoServer
from scripts.errors import CommandError

FIELD = "data"
"""Of the input map; the handler takes the one field that there is, whatever its name."""

LARGEST = 64 << 20  # bytes of a message either way; the server's own limits are below

STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 404,
    "RESOURCE_EXHAUSTED": 413,  # a message that is too large, for the gateway and for gRPC itself
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""gRPC's codes as the HTTP status of the same meaning; 500 for the others."""

NO_CONNECTION = (
    "failed to connect",
    "errors resolving",
    "dns resolution failed",
    "connection re",
    "socket closed",
)
"""Begin the details of UNAVAILABLE when no server said it, in lower case."""


class Grpc:
    """The predictions of one server. Threads may share it."""

    def __init__(self, address: str, *, timeout: float = TIMEOUT) -> None:
        """`address` is a URL, or HOST:PORT; raises CommandError when it is neither."""
        import grpc  # 0.1 s that only those who use it wait for

        self.address = address
        self.timeout = timeout  # s
        self._stubs = stubs.load()
        target, secure = _target(address)
        options = [
            ("grpc.max_send_message_length", LARGEST),
            ("grpc.max_receive_message_length", LARGEST),
            ("grpc.enable_http_proxy", 0),  # no proxy stands between us and loopback
        ]
        self._channel = (
            grpc.secure_channel(target, grpc.ssl_channel_credentials(*_trust()), options=options)
            if secure
            else grpc.insecure_channel(target, options=options)
        )
        self._service = self._stubs.services.InferenceAPIsServiceStub(self._channel)

    def predict(
        self, name: str, body: bytes, *, version: str | None = None, request_id: str | None = None
    ) -> bytes:
        """The answer's bytes. Raises NoServer, or Refused: for a gRPC status other than OK, and for an
        error body, because TorchServe says OK to a refused item, too."""
        import grpc

        request = self._stubs.messages.PredictionsRequest(
            model_name=name, model_version=version or "", input={FIELD: body}
        )
        metadata = (("x-request-id", request_id or uuid.uuid4().hex), *credentials.headers().items())
        try:
            response = self._service.Predictions(request, timeout=self.timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise self._failed(error) from None
        answer: bytes = response.prediction
        error_told = refused.read(answer)
        if error_told is not None:
            raise error_told
        return answer

    def close(self) -> None:
        """End the connection; calls in flight are cancelled."""
        self._channel.close()

    def _failed(self, error: Any) -> CommandError:
        """The gRPC status as our error: the gateway's details are an error body, TorchServe's are text."""
        code, details = error.code().name, error.details() or ""
        retry_after = refused.seconds(_metadata(error).get("retry-after"))
        if code == "UNAVAILABLE" and retry_after is None and details.lower().startswith(NO_CONNECTION):
            return self._no_server(details)
        status, message = STATUS.get(code, 500), details.splitlines()[0] if details else code
        if "NotFoundException" in details:  # TorchServe calls it INTERNAL
            status = 404
        elif "RST_STREAM" in details and code == "CANCELLED":
            status, message = 413, "the server cut the request off; it may be too large"
        elif code == "RESOURCE_EXHAUSTED" and retry_after is not None:  # of a key's rate
            status = 429
        elif code == "UNIMPLEMENTED":
            message = f"{self.address} doesn't know TorchServe's gRPC ({message})"
        return refused.of_status(status, details.encode(), retry_after=retry_after, message=message)

    def _no_server(self, details: str) -> NoServer:
        if "http1.x server" in details:
            return NoServer(f"{self.address} speaks no gRPC", hint="give the address of the gRPC port")
        return refused.no_server(f"{self.address} (gRPC)")


def _target(address: str) -> tuple[str, bool]:
    """(HOST:PORT, whether with TLS) of a URL, or of just that."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host:
        raise refused.no_address(address)
    secure = parts.scheme == "https"
    literal = f"[{host}]" if ":" in host else host
    return f"{literal}:{port or (443 if secure else 80)}", secure


def _trust() -> tuple[bytes | None, bytes | None, bytes | None]:
    """Authorities (None: the usual ones), our own key and certificate."""
    certificate, key = credentials.certificate() or (None, None)
    authorities, own_key, own = (
        path.read_bytes() if path is not None else None
        for path in (credentials.authorities(), key, certificate)
    )
    return authorities, own_key, own


def _metadata(error: Any) -> dict[str, Any]:
    """What came with the error: of a reply without a message all of it is trailing."""
    return {**dict(error.initial_metadata() or ()), **dict(error.trailing_metadata() or ())}
