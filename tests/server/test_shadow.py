"""Copies of the default's requests as the gateway makes them; and a candidate that is wrong on purpose, by
the commands that people type, before a real TorchServe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import grpc
import pytest
from msgspec.structs import replace

from handlers.wire import oip_messages
from scripts.gateway.routing import Canary, Mirror, Routing
from scripts.places import ROOT
from scripts.processes.scratch import Scratch
from scripts.shadowing import collector
from scripts.shadowing.collector import Collector, Mirrored
from scripts.state import wanted
from tests.server import endpoints
from tests.server.endpoints import BODY, answer
from tests.server.fake_torchserve import message
from tests.server.gatewayed import Gatewayed, eventually, routing
from tests.server.load import Load
from tests.server.running import Running, command, environment, private_places, serving

pytestmark = pytest.mark.server

INFER = "/inference.GRPCInferenceService/ModelInfer"


class Copies:
    """What the gateway copies to a collector."""

    def __init__(self, found: Collector) -> None:
        self.collector = found
        self.taken: list[Mirrored] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        while not self._stop.is_set():
            try:
                self.taken.append(self.collector.taken.get(timeout=0.05))
            except Empty:
                continue

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def mirrored(gatewayed: Gatewayed, percent: float, **more: Any) -> Iterator[Copies]:
    """`cat`, whose default's requests are copied."""
    with Scratch("test-") as folder:
        found = Collector(folder / "socket", 20_000_000)
        found.start()
        copies = Copies(found)
        plain = routing()
        model = replace(plain.models["cat"], mirror=Mirror(str(folder / "socket"), percent), **more)
        told: Routing = replace(plain, models={**plain.models, "cat": model})
        gatewayed.gateway.publish(told)
        try:
            yield copies
        finally:
            gatewayed.gateway.publish(plain)
            copies.stop()
            found.stop()


@pytest.mark.parametrize(
    ("path", "protocol"),
    [("/predictions/cat", ""), ("/v1/models/cat:predict", "kserve_v1"), ("/v2/models/cat/infer", "oip")],
)
@pytest.mark.parametrize("size", [5, 300_000])
def test_a_copy_says_all_that_a_worker_is_told(
    gatewayed: Gatewayed, path: str, protocol: str, size: int
) -> None:
    body = os.urandom(size)
    with mirrored(gatewayed, 100.0) as copies:
        done = gatewayed.post(path, body, headers={"content-type": "image/png", "authorization": "Bearer k"})
        assert (done.status_code, done.headers["x-model-version"]) == (200, "1.0")
        (one,) = eventually(lambda: list(copies.taken))
    assert (one.protocol, one.body) == (protocol, body)
    raw = "application/octet-stream"  # what its bytes are, its protocol tells
    assert one.headers["content-type"] == (raw if protocol else "image/png")
    assert one.headers.keys() <= set(collector.TOLD)


def test_a_message_of_the_open_inference_protocol_is_copied_as_its_worker_gets_it(
    gatewayed: Gatewayed,
) -> None:
    sent: bytes = oip_messages.ModelInferRequest(model_name="cat", id="7").SerializeToString()
    with mirrored(gatewayed, 100.0) as copies:
        gatewayed.call(sent, INFER)
        (one,) = eventually(lambda: list(copies.taken))
    assert one.protocol == "oip_grpc"
    assert oip_messages.ModelInferRequest.FromString(one.body).id == "7"


def test_only_what_the_default_is_asked_is_copied(gatewayed: Gatewayed) -> None:
    with mirrored(gatewayed, 100.0, canary=Canary("2.0", 50.0)) as copies:
        gatewayed.post("/predictions/cat/1.0")
        gatewayed.post("/predictions/cat/2.0")
        gatewayed.post("/predictions/dog")
        gatewayed.call(message("cat"))  # TorchServe's own gRPC service isn't HTTP/1.1
        versions = Counter(gatewayed.post("/predictions/cat").headers["x-model-version"] for _ in range(40))
        eventually(lambda: len(copies.taken) + copies.collector.left == versions["1.0"])


def test_its_share_is_copied(gatewayed: Gatewayed) -> None:
    with mirrored(gatewayed, 20.0) as copies:
        for _ in range(500):
            gatewayed.post("/predictions/cat")
    assert 55 <= len(copies.taken) + copies.collector.left <= 145, "five standard deviations from 100"


def test_a_collector_that_is_full_or_dead_costs_callers_nothing(gatewayed: Gatewayed) -> None:
    with mirrored(gatewayed, 100.0) as copies:
        copies.stop()  # nobody takes any more
        assert {gatewayed.post("/predictions/cat").status_code for _ in range(50)} == {200}
        eventually(lambda: copies.collector.left > 0)
        copies.collector.stop()
        assert {gatewayed.post("/predictions/cat").status_code for _ in range(50)} == {200}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shadowed") / "models"
    endpoints.write(folder, "steady", "return x")
    return folder


@pytest.fixture(scope="module")
def node(models: Path) -> Iterator[Running]:
    with serving(private_places(models.parent / "private", models)) as running:
        yield running


def reported(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


OIP = b'{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}'
PROTOCOLS = {"", "kserve_v1", "oip", "oip_grpc"}


@contextmanager
def asked_by_all_protocols(node: Running) -> Iterator[list[Load]]:
    """Callers of every kind, each a few times a second."""
    ended = threading.Event()
    gateway = node.inference.url

    def by_grpc() -> None:
        tensor = oip_messages.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=[1, 2])
        tensor.contents.fp32_contents.extend([1, 2])
        sent = oip_messages.ModelInferRequest(model_name="steady", inputs=[tensor]).SerializeToString()
        with grpc.insecure_channel(gateway.removeprefix("http://")) as channel:
            while not ended.wait(0.02):
                channel.unary_unary(INFER)(sent, timeout=30)

    thread = threading.Thread(target=by_grpc, daemon=True)
    thread.start()
    with (
        Load(node.url("steady"), BODY, clients=1, pause=0.02) as plain,
        Load(f"{gateway}/v2/models/steady/infer", OIP, clients=1, pause=0.02) as oip,
        Load(f"{gateway}/v1/models/steady:predict", b'{"instances": [[1, 2]]}', clients=1, pause=0.02) as v1,
    ):
        yield [plain, oip, v1]
        ended.set()
    thread.join(30)


def test_a_candidate_that_is_wrong_on_purpose_is_told_by_how_much(
    node: Running, models: Path, tmp_path: Path
) -> None:
    endpoints.write(models, "steady", "return x + 10", version="1.1")
    file, folder = tmp_path / "r.json", tmp_path / "r.worst"
    with asked_by_all_protocols(node) as loads:
        done = node.command(
            "shadow", "steady", "1.1", "--requests", "100", "--report", str(file), "--keep", "60"
        )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(load.bad() for load in loads), [load.summary() for load in loads]
    assert {tuple(one.json()["output"]) for one in loads[0].sent} == {tuple(answer(0))}, "the default's"
    found = reported(file)
    assert (found["serving"], found["candidate"], found["ended"]) == ("1.0", "1.1", "requests")
    assert found["kinds"] == {"numbers": {"requests": 100, "largest": 10.0, "median": 10.0}}
    assert "numbers differ" in done.stdout
    kept = [json.loads((one / "difference.json").read_bytes()) for one in folder.iterdir()]
    assert len(kept) == 60
    assert {one["request_headers"].get("x-pthserve-protocol", "") for one in kept} == PROTOCOLS
    plain = folder / next(
        one["folder"] for one in kept if "x-pthserve-protocol" not in one["request_headers"]
    )
    assert (plain / "request.body").read_bytes() == BODY
    bodies = [json.loads((plain / f"{who}.body").read_bytes()) for who in ("serving", "candidate")]
    assert [one["output"] for one in bodies] == [answer(0), answer(10)]
    assert list(node.seen().models["steady"].versions) == ["1.0"], "the candidate has left"


def test_a_candidate_that_is_equal_is_said_to_be_equal(node: Running, models: Path, tmp_path: Path) -> None:
    endpoints.write(models, "steady", "return x * 1.000001", version="1.2")
    with asked_by_all_protocols(node):
        done = node.command("shadow", "steady", "1.2", "--for", "3s", "--report", str(tmp_path / "r.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = reported(tmp_path / "r.json")
    assert (found["ended"], list(found["kinds"]), found["worst"]) == ("time", ["equal"], [])
    assert found["all"]["requests"] > 20
    assert 0 < found["all"]["largest"] < 1e-4, "they aren't the same bytes"
    assert not (tmp_path / "r.worst").exists()


def test_one_that_is_killed_hurts_nobody_and_leaves_nothing(node: Running, models: Path) -> None:
    endpoints.write(models, "steady", "return x + 10", version="1.1")
    with Load(node.url("steady"), BODY, clients=2, pause=0.02) as load:
        killed = subprocess.Popen(
            command(node.places, "shadow", "steady", "1.1"),
            cwd=ROOT,
            env=environment(node.places),
            stdout=subprocess.DEVNULL,
        )
        try:
            node.wait(lambda: node.seen().models["steady"].shadow is not None, 60)
            load.reach(20)
        finally:
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        load.reach(20)
        node.wait(lambda: list(node.seen().models["steady"].versions) == ["1.0"], 60)
        load.reach(20)
    assert not load.bad(), load.summary()
    assert node.seen().models["steady"].shadow is None
    assert "shadow" not in node.command("list").stdout


def test_a_canary_is_begun_changed_shown_and_rolled_back(node: Running, models: Path) -> None:
    endpoints.write(models, "steady", "return x + 10", version="1.1")
    with Load(node.url("steady"), BODY, clients=4, pause=0.002) as load:
        begun = node.command("promote", "steady", "1.1", "--canary", "20%")
        assert begun.returncode == 0, begun.stdout + begun.stderr
        first = len(load.sent)
        load.reach(500)
        listed, status = node.command("list").stdout, node.command("status").stdout
        refused = node.command("promote", "steady", "1.1", "--canary", "100%")
        changed = node.command("promote", "steady", "1.1", "--canary", "60")
        ended = node.command("rollback", "steady")
        last = len(load.sent)
        load.reach(100)
        final = load.sent[last + 8 :]
    assert not load.bad(), load.summary()
    share = [one.json()["output"] == answer(10) for one in load.sent[first : first + 500]]
    assert 55 <= sum(share) <= 145, "five standard deviations from 100"
    assert "canary 20%" in listed
    assert "steady: canary 1.1 20%" in status
    assert refused.returncode == 1
    assert "--canary is '100%'; give a share from 0.01%, below 100%: 5%, 0.5%" in refused.stderr
    assert (changed.returncode, ended.returncode) == (0, 0), changed.stderr + ended.stderr
    assert {tuple(one.json()["output"]) for one in final} == {tuple(answer(0))}
    assert list(node.seen().models["steady"].versions) == ["1.0"]


def test_a_canary_survives_the_supervisor_and_becomes_the_default(node: Running, models: Path) -> None:
    endpoints.write(models, "steady", "return x + 10", version="1.1")
    begun = node.command("promote", "steady", "1.1", "--canary", "50%")
    assert begun.returncode == 0, begun.stderr
    assert node.stop() == 0
    again = Running(node.places)
    try:
        again.wait_serving()
        again.wait(lambda: again.seen().models["steady"].canary is not None, 60)
        with Load(again.url("steady"), BODY, clients=2) as load:
            load.reach(100)
            assert {tuple(one.json()["output"]) for one in load.sent} == {tuple(answer(0)), tuple(answer(10))}
            done = again.command("promote", "steady", "1.1")
            count = len(load.sent)
            load.reach(50)
        assert done.returncode == 0, done.stderr
        assert not load.bad(), load.summary()
        assert {tuple(one.json()["output"]) for one in load.sent[count + 4 :]} == {tuple(answer(10))}
        model = wanted.load(again.places).models["steady"]
        assert (model.default, list(model.versions), model.canary) == ("1.1", ["1.1"], None)
    finally:
        again.stop()
