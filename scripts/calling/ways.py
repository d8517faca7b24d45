"""The ways to a model's answer: an endpoint by REST or by gRPC, or the recipe folder (local.py).

The same bytes get the same answer, and the same refusal, whichever way they go.
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Protocol

import msgspec
import requests

from handlers.recipe.structs import Name
from scripts.calling import refused
from scripts.calling.grpc_client import Grpc
from scripts.calling.inference import TIMEOUT, Inference, Reply
from scripts.calling.refused import Refused
from scripts.errors import CommandError


def check_names(name: str, version: str | None) -> None:
    """Both become a part of URLs and of paths; raises CommandError."""
    for noun, value in (("model", name), ("version", version)):
        try:
            msgspec.convert(value, Name | None)
        except msgspec.ValidationError:
            raise CommandError(
                f"{value!r} is no {noun}", hint="it has 1 to 100 letters, digits, '_', '.' or '-'"
            ) from None


class Way(Protocol):
    """One model's answers. Threads may share it, but for the local one."""

    def answer(self, body: bytes, request_id: str) -> bytes:
        """The answer as JSON in one line; raises Refused, or NoServer."""
        ...


class Rest:
    """An endpoint by REST, with a connection for each thread."""

    def __init__(self, url: str, name: str, version: str | None = None) -> None:
        self.url = url
        self.name = name
        self.version = version
        self._own = threading.local()

    def answer(self, body: bytes, request_id: str) -> bytes:
        if not hasattr(self._own, "inference"):
            self._own.inference = Inference(self.url, timeout=TIMEOUT)
        reply = self._sent(self._own.inference, body, request_id)
        if reply.status == HTTPStatus.OK:
            return reply.body
        retry_after = refused.seconds(reply.headers.get("retry-after"))
        raise refused.of_status(reply.status, reply.body, retry_after=retry_after)

    def _sent(self, inference: Inference, body: bytes, request_id: str) -> Reply:
        try:
            return inference.predict(
                self.name,
                body,
                content_type="application/octet-stream",  # what it is is told by its first bytes
                version=self.version,
                headers={"x-request-id": request_id},
            )
        except requests.ReadTimeout:
            raise Refused(
                f"no answer within {TIMEOUT} s", status=504, code="timeout", hint=refused.REMEDIES[504]
            ) from None
        except ValueError:  # requests' InvalidURL and its like
            raise refused.no_address(self.url) from None
        except requests.RequestException as error:
            raise refused.no_server(self.url, type(error).__name__) from None


class ByGrpc:
    """An endpoint by gRPC, over one connection."""

    def __init__(self, address: str, name: str, version: str | None = None) -> None:
        self.name = name
        self.version = version
        self._grpc = Grpc(address)

    def answer(self, body: bytes, request_id: str) -> bytes:
        return self._grpc.predict(self.name, body, version=self.version, request_id=request_id)
