"""TorchServe's management API over HTTP: what only the supervisor calls."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import msgspec
import requests
from msgspec import Struct
from requests.adapters import HTTPAdapter

from handlers.recipe import Recipe
from scripts.errors import CommandError

LOCAL_TIMEOUT = 10  # s; TorchServe answers from memory, and the supervisor's loop waits for it
UNPACK_TIMEOUT = 300  # s; 500 MB take one
CONNECTIONS = 256  # kept open at most: one for each thread that registers, or requests would warn


class NoAnswer(CommandError):
    """TorchServe's management API doesn't answer at all."""


class WorkerSeen(Struct, frozen=True):
    """One worker. Its status is READY, or UNLOADING while it boots, between two tries, and for ever after."""

    id: str
    status: str
    pid: int
    gpu: bool = False
    gpuUsage: str = ""  # noqa: N815


class QueueSeen(Struct, frozen=True, rename="camel"):
    """What waits for a worker; what runs isn't counted."""

    pending_requests: int


class Registered(Struct, frozen=True, rename="camel"):
    """One version of a model, as TorchServe describes it."""

    model_version: str
    workers: list[WorkerSeen]
    job_queue_status: QueueSeen


class Management:
    """What only the supervisor calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS))

    def register(self, archive: Path, recipe: Recipe) -> str:
        """Register an archive of the model store; "" once its workers are starting, else what was said.

        Everything that the recipe may leave out is given here, too: TorchServe has other defaults. Waiting
        for the workers here would hold up callers: TorchServe lets one of its network threads wait, and every
        connection of that thread with it.
        """
        query: dict[str, str | int] = {
            "url": archive.name,
            "model_name": recipe.handler.name,
            "initial_workers": recipe.workers,
            "batch_size": recipe.batch_size,
            "max_batch_delay": recipe.max_batch_delay,
            "response_timeout": recipe.response_timeout,
            "startup_timeout": recipe.startup_timeout,
            "synchronous": "false",
        }
        answer = self._call("POST", "/models", query, timeout=UNPACK_TIMEOUT)
        return "" if answer.status_code == HTTPStatus.ACCEPTED else _message(answer)

    def unregister(self, name: str, version: str) -> None:
        """Take a version away that nobody uses: requests in flight would never be answered."""
        answer = self._call("DELETE", f"/models/{name}/{version}")
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise CommandError(f"TorchServe keeps {name} {version}: {_message(answer)}")

    def describe(self, name: str) -> list[Registered]:
        """Every version of a model that TorchServe knows."""
        answer = self._call("GET", f"/models/{name}/all")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return []
        if answer.status_code != HTTPStatus.OK:
            raise NoAnswer(f"TorchServe can't describe {name}: {_message(answer)}")
        try:
            return msgspec.json.decode(answer.content, type=list[Registered])
        except msgspec.DecodeError as error:
            raise NoAnswer(
                f"TorchServe describes {name} in another form than 0.12.0 does ({error})"
            ) from None

    def version(self, name: str, version: str) -> Registered | None:
        """One version; None when TorchServe doesn't know it."""
        return next((one for one in self.describe(name) if one.model_version == version), None)

    def scale(self, name: str, version: str, workers: int) -> None:
        """Ask for so many workers; `describe` tells when they are there. Fewer: only while it is idle."""
        query: dict[str, str | int] = {"min_worker": workers, "max_worker": workers}
        answer = self._call("PUT", f"/models/{name}/{version}", query)
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise CommandError(f"TorchServe can't scale {name} {version}: {_message(answer)}")

    def set_default(self, name: str, version: str) -> None:
        """Requests that name no version go to this one."""
        answer = self._call("PUT", f"/models/{name}/{version}/set-default")
        if answer.status_code >= HTTPStatus.BAD_REQUEST:
            raise CommandError(f"TorchServe can't make {version} the default of {name}: {_message(answer)}")

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str | int] | None = None,
        *,
        timeout: float = LOCAL_TIMEOUT,
    ) -> requests.Response:
        try:
            return self._session.request(method, self.url + path, params=query, timeout=timeout)
        except requests.RequestException as error:
            raise NoAnswer(
                f"TorchServe's management API at {self.url} doesn't answer ({type(error).__name__})",
                hint="see torchserve.log, in .pthserve/logs unless --state says otherwise",
            ) from None


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError):
        return f"status {answer.status_code}: {answer.text[:200]}"
