"""What the client and its asynchronous twin have in common: requests out, responses in, no sending."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
from msgspec import Struct

from scripts.calling import connection, typed
from scripts.calling.bodies import Body
from scripts.calling.connection import Cert, Verify
from scripts.calling.course import Course
from scripts.calling.failures import PredictionError, Received, unreadable

LOOPBACK = "http://127.0.0.1:8000"
"""Where `scripts/pthserve up` listens."""


class Asked(Struct, frozen=True):
    """One request, as either transport sends it."""

    path: str
    body: Body | None = None
    timeout: float | None = None
    retries: int | None = None
    """Another number than the client's."""


class Caller:
    """What both clients are given, and what they ask for."""

    def __init__(
        self,
        url: str = LOOPBACK,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        retries: int = 2,
        verify: Verify = True,
        cert: Cert | None = None,
    ) -> None:
        """`timeout` covers a whole call in seconds, all of its attempts and pauses included.

        `verify` is who signed the server's certificate: a file or folder of authorities, or an SSLContext;
        `cert` is the client's own, as a file or (file, key's file). `key` is sent as x-api-key.
        """
        self.url = connection.base(url)
        self.timeout = connection.seconds("timeout", timeout)
        self.connect_timeout = connection.seconds("connect_timeout", connect_timeout)
        if retries < 0:
            raise ValueError(f"retries is {retries}; must be at least 0")
        self.retries = retries
        self._open(
            {
                "headers": connection.headers(key),
                "verify": connection.context(self.url, verify, cert),
                "trust_env": connection.proxied(self.url),
            }
        )

    def _open(self, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def course(self, asked: Asked) -> Course:
        timeout = self.timeout if asked.timeout is None else connection.seconds("timeout", asked.timeout)
        retries = self.retries if asked.retries is None else asked.retries
        return Course(
            self.address(asked), timeout=timeout, connect_timeout=self.connect_timeout, retries=retries
        )

    def address(self, asked: Asked) -> str:
        return self.url + asked.path

    def sent(self, asked: Asked, course: Course) -> dict[str, Any]:
        """What httpx's `stream` takes; raises TimedOut."""
        headers = {"x-request-id": course.request_id}
        if asked.body is not None:
            headers["content-type"] = asked.body.content_type
        return {
            "method": "GET" if asked.body is None else "POST",
            "url": self.address(asked),
            "content": None if asked.body is None else asked.body.content,
            "headers": headers,
            "timeout": course.limits(),
        }


def predictions(name: str, version: str | None) -> str:
    return f"/predictions/{_named(name)}" + (f"/{_named(version)}" if version else "")


def described(name: str, version: str | None) -> str:
    return f"/v2/models/{_named(name)}" + (f"/versions/{_named(version)}" if version else "")


def readiness(name: str | None) -> str:
    return "/ready" if name is None else f"/ready/{_named(name)}"


def not_yet(error: PredictionError) -> bool:
    """False for the answer that says so; raises any other error."""
    if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
        raise error
    return False


def cards(received: Received, request_id: str, url: str) -> list[dict[str, Any]]:
    found = typed.document(received, request_id, url).get("endpoints")
    if not isinstance(found, list):
        raise unreadable(received, request_id, url, "lists no endpoints")
    return found


def read(response: httpx.Response, body: bytes) -> Received:
    headers = {key.lower(): value for key, value in response.headers.items()}
    return Received(response.status_code, headers, body)


def _named(name: str) -> str:
    if not name:
        raise ValueError("the name of a model is empty; Client.endpoints tells those that are served")
    return quote(name, safe="")
