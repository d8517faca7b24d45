"""What dies comes back, and what was accepted is answered or fails fast: processes killed under load."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.places import Places
from tests.server import endpoints
from tests.server.endpoints import BODY, answer
from tests.server.load import Load
from tests.server.running import Running, private_places, temporary

pytestmark = pytest.mark.server

FAST = 5  # s: what a caller who can't be answered is told by then, loaded machine included
FAILS_WHILE = 'assert not __import__("os").path.exists({flag!r}), "the disk is gone"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    """One worker, two workers, and one that can be made to fail when it starts."""
    models = folder / "models"
    endpoints.write(models, "single", "return x")
    endpoints.write(models, "double", "return x", minWorkers=2, maxWorkers=2)
    fragile = endpoints.write(models, "fragile", "return x")
    with (fragile / "model.py").open("a", encoding="utf-8") as model:
        model.write(f"\n\n{FAILS_WHILE.format(flag=str(folder / 'flag'))}\n")
    return models


class Node:
    """One node, on the same state however often it is started."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._running: Running | None = None

    def running(self) -> Running:
        if self._running is None or self._running.process.poll() is not None:
            self._running = Running(self.places)
            self._running.wait_serving()
        return self._running

    def end(self) -> None:
        if self._running is not None:
            self._running.stop()
        shutil.rmtree(temporary(self.places))


@pytest.fixture(scope="module")
def started(folder: Path, models: Path) -> Iterator[Node]:
    one = Node(private_places(folder / "private", models))
    yield one
    one.end()


@pytest.fixture
def node(started: Node) -> Running:
    """Started by the first test that needs it, and again after a test that ended it."""
    return started.running()


def worker(node: Running, name: str) -> psutil.Process:
    return psutil.Process(node.worker_pids(name)[0])


def recovered(node: Running, began: float, *names: str) -> float:
    """Seconds until all of these answer again."""
    node.wait(lambda: all(_answers(node, name) for name in names), 90)
    return time.monotonic() - began


def _answers(node: Running, name: str) -> bool:
    try:
        return node.inference.predict(name, BODY, content_type="application/json").status == 200
    except OSError:
        return False


def test_one_of_two_workers_killed_under_load_and_clients_see_nothing(node: Running) -> None:
    with Load(node.url("double"), BODY, clients=6) as load:
        load.reach(200)
        worker(node, "double").kill()
        load.reach(400)
    print(f"kill -9 one of two workers: {load.summary()}")
    assert not load.bad(), load.summary()
    node.wait(lambda: node.seen().version("double", "1.0").ready == 2, 60)  # type: ignore[union-attr]


def test_the_only_worker_killed_under_load(node: Running) -> None:
    with (
        Load(node.url("single"), BODY, clients=4) as load,
        Load(node.url("double"), BODY, clients=1) as other,
    ):
        load.reach(100)
        worker(node, "single").kill()
        took = recovered(node, time.monotonic(), "single")
        load.reach(100)
    print(f"kill -9 the only worker: {load.summary()}, answering again after {took:.1f} s")
    assert {one.status for one in load.sent} <= {200, 503}, load.summary()
    refused = [one for one in load.sent if one.status == 503]
    assert all(one.seconds < FAST or one.json()["error"]["code"] == "unavailable" for one in refused)
    assert all(one.json()["error"]["code"] in ("not_ready", "unavailable") for one in refused)
    assert load.slowest() < 20
    assert not other.bad(), other.summary()


def test_java_killed_under_load(node: Running) -> None:
    with Load(node.url("single"), BODY, clients=4) as load:
        load.reach(100)
        node.child("java").kill()
        killed = time.monotonic()
        node.wait(lambda: not node.seen().torchserve, 20)
        while time.monotonic() < killed + 2:
            time.sleep(0.05)
        late = [one for one in load.sent if one.began > killed + 1]
        took = recovered(node, killed, "single", "double", "fragile")
        load.reach(100)
    print(f"kill -9 Java: {load.summary()}, everything wanted answers again after {took:.1f} s")
    assert late
    assert all(one.seconds < FAST for one in late)
    assert {one.status for one in load.sent} <= {200, 503}, load.summary()
    assert load.slowest() < FAST + 20


def test_the_gateway_killed_under_load(node: Running) -> None:
    with Load(node.url("single"), BODY, clients=4) as load:
        load.reach(100)
        node.child("envoy").kill()
        killed = time.monotonic()
        took = recovered(node, killed, "single")
        load.reach(100)
    print(f"kill -9 Envoy: {load.summary()}, answering again after {took:.1f} s")
    assert {one.status for one in load.sent if one.status} == {200}, load.summary()
    assert load.slowest() < FAST


def test_a_model_that_keeps_dying_is_named_and_the_others_are_undisturbed(
    node: Running, folder: Path
) -> None:
    flag = folder / "flag"
    with (
        Load(node.url("double"), BODY, clients=2) as other,
        Load(node.url("fragile"), BODY, clients=2) as load,
    ):
        load.reach(20)
        flag.touch()
        worker(node, "fragile").kill()
        node.wait(lambda: node.seen().version("fragile", "1.0").attempts >= 2, 90)  # type: ignore[union-attr]
        status = node.command("status")
        assert status.returncode == 1
        assert "fragile 1.0 failed" in status.stdout
        assert "the disk is gone" in status.stdout
        assert node.command("status", "--ready", "double").returncode == 0
        flag.unlink()
        healed = time.monotonic()
        took = recovered(node, healed, "fragile")
    print(f"a model that keeps dying: {load.summary()}, answering {took:.1f} s after its cause was mended")
    assert not other.bad(), other.summary()
    assert {one.status for one in load.sent} <= {200, 503, 504}, load.summary()
    late = [one for one in load.sent if one.status == 504]
    assert len(late) <= 2, "more than were in flight when it died have waited for their deadline"
    assert load.slowest() < 25


def test_the_supervisor_killed_under_load(started: Node, node: Running) -> None:
    assert node.command("scale", "single", "2").returncode == 0
    family = node.children()
    with Load(node.url("single"), BODY, clients=4, timeout=30) as load:
        load.reach(100)
        node.process.kill()
        killed = time.monotonic()
        node.process.wait(10)
        gone = psutil.wait_procs(family, timeout=15)[1]
        ended = time.monotonic() - killed
        again = started.running()
        took = recovered(again, killed, "single", "double", "fragile")
        load.reach(50)
    print(
        f"kill -9 the supervisor: {load.summary()}, all its processes ended after {ended:.1f} s, "
        f"serving {took:.1f} s after the kill by another up"
    )
    assert gone == [], "an orphan"
    assert load.slowest() < 30, load.summary()
    assert {one.status for one in load.sent if one.status} <= {200, 503}, load.summary()
    assert again.seen().version("single", "1.0").ready == 2  # type: ignore[union-attr]
    assert left_over(again) == {"pthserve-gateway", "pthserve"}


def left_over(node: Running) -> set[str]:
    """Kinds of temporary folders that are there: one each while a node runs."""
    found = [path.name.rpartition("-")[0] for path in temporary(node.places).iterdir()]
    assert len(found) == len(set(found)), found
    return set(found)


def test_a_stop_under_load_loses_no_accepted_request_and_a_start_brings_all_back(
    started: Node, node: Running, models: Path
) -> None:
    endpoints.write(models, "single", "return x + 10", version="1.1")
    assert node.command("promote", "single").returncode == 0
    assert node.command("scale", "single", "2").returncode == 0
    assert node.command("unregister", "fragile").returncode == 0
    before = (node.places.state / "wanted.json").read_text(encoding="utf-8")
    with Load(node.url("single"), BODY, clients=6, timeout=30) as load:
        load.reach(200)
        signalled = time.monotonic()
        assert node.stop(signal.SIGTERM) == 0
        took = time.monotonic() - signalled
    accepted = [one for one in load.sent if one.began < signalled]
    refused = [one for one in load.sent if one.began >= signalled]
    print(
        f"SIGTERM under load: {len(accepted)} accepted before it, ended {took:.1f} s later: {load.summary()}"
    )
    assert all(one.status in (200, 503) for one in accepted), load.summary()
    assert sum(one.status == 503 for one in accepted) <= 6, "refused although it came before the signal"
    assert {one.status for one in refused} <= {0, 200, 503}, load.summary()
    never_taken = {"ConnectionRefusedError", "ConnectionResetError"}  # the second: by the kernel alone
    assert {one.error for one in refused if not one.status} <= never_taken, load.summary()
    (node.places.state / "wanted.json").write_text("garbage", encoding="utf-8")
    again = started.running()
    assert "wanted.json was damaged: back to revision" in again.text()
    seen = again.seen()
    assert seen.models["single"].default == "1.1"
    assert seen.version("single", "1.1").ready == 2  # type: ignore[union-attr]
    assert "fragile" not in seen.models
    after = (node.places.state / "wanted.json").read_text(encoding="utf-8")
    assert after == before, "a start that brings everything back has nothing to change"
    with Load(again.url("single"), BODY, clients=2) as load:
        load.reach(20)
    assert {tuple(one.json()["output"]) for one in load.sent} == {tuple(answer(10))}
