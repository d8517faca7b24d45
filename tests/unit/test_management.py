"""The management API as the supervisor calls it: what it waits for, and what isn't an answer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.serving.management import LOCAL_TIMEOUT, Management, NoAnswer

DESCRIBED = [
    {
        "modelVersion": "1.0",
        "workers": [{"id": "9000", "status": "READY", "pid": 7, "gpu": False, "memoryUsage": 0}],
        "jobQueueStatus": {"remainingCapacity": 200, "pendingRequests": 3},
    }
]


class Scene:
    """A TorchServe that says the same to everything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.management = Management("http://127.0.0.1:1")
        self.status, self.body = 200, json.dumps(DESCRIBED).encode()
        self.timeouts: list[float] = []
        monkeypatch.setattr(self.management._session, "request", self._answer)

    def _answer(self, method: str, url: str, *, params: Any, timeout: float) -> Any:
        self.timeouts.append(timeout)
        return SimpleNamespace(
            status_code=self.status,
            content=self.body,
            text=self.body.decode(),
            json=lambda: json.loads(self.body),
        )


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_description_has_workers_and_queue(scene: Scene) -> None:
    found = scene.management.version("a", "1.0")
    assert found is not None
    assert [(one.id, one.status, one.pid) for one in found.workers] == [("9000", "READY", 7)]
    assert found.job_queue_status.pending_requests == 3
    assert scene.management.version("a", "2.0") is None


@pytest.mark.parametrize("body", [b"", b"{}", b'[{"modelVersion": 1}]', b"<html>"])
def test_a_description_in_another_form_is_none(scene: Scene, body: bytes) -> None:
    scene.body = body
    with pytest.raises(NoAnswer, match="describes a in another form"):
        scene.management.describe("a")


def test_what_the_supervisors_loop_calls_doesnt_hold_it_up_for_long(scene: Scene) -> None:
    scene.management.describe("a")
    scene.management.scale("a", "1.0", 2)
    scene.management.set_default("a", "1.0")
    scene.management.unregister("a", "1.0")
    assert set(scene.timeouts) == {LOCAL_TIMEOUT}


def test_each_thread_that_registers_keeps_its_connection() -> None:
    """requests keeps ten, and warns on stderr of each that it discards."""
    adapter = Management("http://127.0.0.1:1")._session.get_adapter("http://127.0.0.1:1")
    assert adapter._pool_maxsize >= 256
