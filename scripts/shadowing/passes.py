"""One more pass: a mirrored request to one version by name, as its worker would get it from the gateway."""

from __future__ import annotations

import uuid

import requests
from msgspec import Struct

from scripts.calling.inference import Reply
from scripts.shadowing.collector import Mirrored

CONNECT = 5  # s; TorchServe is on this machine

VERSION = "x-model-version"
"""On every answer of a worker (handlers.serve). What comes without it is TorchServe's own: it has no time, or
doesn't know the version any more, which tells nothing of the model."""


class Versions(Struct, frozen=True):
    """The two that are compared."""

    name: str
    serving: str
    candidate: str


class Passes:
    """Straight to TorchServe, which knows every version: the gateway lets nobody say what the protocol is.

    For one thread.
    """

    def __init__(self, url: str, versions: Versions, timeout: float) -> None:
        self._url = f"{url}/predictions/{versions.name}"
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between us and loopback

    def ask(self, version: str, one: Mirrored) -> Reply | None:
        """The answer, whatever its status; None when there is none in time."""
        headers = {**one.headers, "x-request-id": f"shadow-{uuid.uuid4()}", "accept-encoding": "identity"}
        try:
            answer = self._session.post(
                f"{self._url}/{version}", data=one.body, headers=headers, timeout=(CONNECT, self._timeout)
            )
        except requests.RequestException:
            return None
        received = {key.lower(): value for key, value in answer.headers.items()}
        return Reply(answer.status_code, answer.content, received.get("content-type", ""), received)

    def close(self) -> None:
        self._session.close()
