"""Predictions over HTTP, as they come over the wire: for commands that show and compare them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import requests
from msgspec import Struct, field

from scripts.calling import credentials

TIMEOUT = 300  # s; for answers: the deadline is the recipe's, and the server keeps it


class Reply(Struct, frozen=True):
    """An answer as it came over the wire."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Their names in lower case."""

    def json(self) -> Any:
        return json.loads(self.body)


class Inference:
    """What callers use."""

    def __init__(self, url: str, *, timeout: float = 60) -> None:
        self.url = url
        self.timeout = timeout  # s
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between us and loopback
        credentials.lend(self._session)

    def alive(self) -> bool:
        """Whether the server answers at all; it says so before any model can."""
        try:
            return self._session.get(f"{self.url}/ping", timeout=5).status_code == HTTPStatus.OK
        except requests.RequestException:
            return False

    def endpoint(self, name: str, version: str | None = None) -> str:
        return f"{self.url}/predictions/{name}" + (f"/{version}" if version else "")

    def predict(
        self,
        name: str,
        body: bytes | None,
        *,
        content_type: str | None = None,
        version: str | None = None,
        files: dict[str, bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """The reply, whatever its status; raises requests.RequestException when there is none."""
        given = dict(headers or {})
        if content_type is not None:
            given["content-type"] = content_type
        answer = self._session.post(
            self.endpoint(name, version), data=body, files=files, headers=given, timeout=(10, self.timeout)
        )
        received = {key.lower(): value for key, value in answer.headers.items()}
        return Reply(answer.status_code, answer.content, received.get("content-type", ""), received)
