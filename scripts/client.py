"""TorchServe's URLs, all of them: its inference and its management API over HTTP."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from msgspec import Struct

from handlers.recipe import Recipe
from scripts.errors import CommandError


class Reply(Struct, frozen=True):
    """An answer as it came over the wire."""

    status: int
    body: bytes
    content_type: str

    def json(self) -> Any:
        return json.loads(self.body)


class Inference:
    """What callers use."""

    def __init__(self, url: str, *, timeout: float = 60) -> None:
        self.url = url
        self.timeout = timeout  # s
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between us and loopback

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
            self.endpoint(name, version), data=body, files=files, headers=given, timeout=self.timeout
        )
        return Reply(answer.status_code, answer.content, answer.headers.get("content-type", ""))


class Management:
    """What only the supervisor calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def register(self, archive: Path, recipe: Recipe) -> str:
        """Register an archive of the model store; "" once its workers are READY, else what was said.

        Everything that the recipe may leave out is given here, too: TorchServe has other defaults.
        """
        query: dict[str, str | int] = {
            "url": archive.name,
            "model_name": recipe.handler.name,
            "initial_workers": recipe.workers,
            "batch_size": recipe.batch_size,
            "max_batch_delay": recipe.max_batch_delay,
            "response_timeout": recipe.response_timeout,
            "startup_timeout": recipe.startup_timeout,
            "synchronous": "true",
        }
        answer = self._call("POST", "/models", query, timeout=recipe.startup_timeout + 30)
        return "" if answer.status_code == HTTPStatus.OK else _message(answer)

    def unregister(self, name: str, version: str) -> None:
        """Take a version away that nobody uses: requests in flight would never be answered."""
        self._call("DELETE", f"/models/{name}/{version}")

    def workers(self, name: str, version: str) -> list[dict[str, Any]]:
        """One entry for each worker: `status` (READY, ...), `pid`, `gpu`, `memoryUsage` and more."""
        answer = self._call("GET", f"/models/{name}/{version}")
        if answer.status_code != HTTPStatus.OK:
            return []
        found: list[dict[str, Any]] = answer.json()[0]["workers"]
        return found

    def _call(
        self, method: str, path: str, query: dict[str, str | int] | None = None, *, timeout: float = 30
    ) -> requests.Response:
        try:
            return self._session.request(method, self.url + path, params=query, timeout=timeout)
        except requests.RequestException as error:
            raise CommandError(
                f"TorchServe's management API at {self.url} doesn't answer ({type(error).__name__})",
                hint="see torchserve.log, in .pthserve/logs unless --state says otherwise",
            ) from None


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError):
        return f"status {answer.status_code}: {answer.text[:200]}"
