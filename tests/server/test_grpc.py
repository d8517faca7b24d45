"""The same bytes through local, REST and gRPC give the same bytes, and the same refusals."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from scripts import catalog
from scripts.calling.grpc_client import Grpc
from scripts.calling.local import Local
from scripts.calling.refused import NoServer, Refused
from scripts.calling.ways import ByGrpc, Rest, Way
from scripts.errors import CommandError
from tests.server.running import Running

pytestmark = pytest.mark.server

MODELS = ["digits_mlp", "digits_cnn", "diabetes", "diabetes_risk", "mobilenet_v2"]

CORRUPT = [
    b"",
    b"\xff\xd8\xff\xe0 no picture",
    b'{"input": "no numbers"}',
    b"\x93NUMPY cut",
    b"\x1f\x8b gzip",
]


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ways(name: str, server: Running) -> list[Way]:
    """Local, and both protocols through the gateway and past it."""
    config = server.config
    return [
        Local(server.places.models / name),
        Rest(config.gateway.url, name),
        Rest(config.inference.url, name),
        ByGrpc(config.gateway.url, name),
        ByGrpc(config.gateway.url, name, "1.0"),
        ByGrpc(config.grpc_inference.url, name),
    ]


def test_samples_get_the_same_bytes_every_way(name: str, server: Running, ways: list[Way]) -> None:
    entry = catalog.find(server.places, name)
    for sample in entry.recipe.handler.samples:
        body = (entry.folder / sample.input).read_bytes()
        answers = {way.answer(body, "id") for way in ways}
        assert len(answers) == 1, answers


@pytest.mark.parametrize("body", CORRUPT, ids=["empty", "jpeg", "json", "npy", "gzip"])
def test_a_corrupt_item_is_refused_alike_every_way(ways: list[Way], body: bytes) -> None:
    refusals = set()
    for way in ways:
        with pytest.raises(Refused) as caught:
            way.answer(body, "id")
        assert caught.value.request_id
        refusals.add((caught.value.code, caught.value.message, caught.value.hint, caught.value.error))
    assert len(refusals) == 1, refusals


def endpoints(server: Running, name: str, version: str | None = None) -> list[Way]:
    config = server.config
    return [
        Rest(config.gateway.url, name, version),
        Rest(config.inference.url, name, version),
        ByGrpc(config.gateway.url, name, version),
        ByGrpc(config.grpc_inference.url, name, version),
    ]


@pytest.mark.parametrize(("name", "version"), [("nothing", None), ("digits_cnn", "9.9")])
def test_an_unknown_model_or_version_is_404(server: Running, name: str, version: str | None) -> None:
    for way in endpoints(server, name, version):
        with pytest.raises(Refused) as caught:
            way.answer(b"[1]", "id")
        assert caught.value.status == 404
        assert caught.value.hint


def test_a_body_of_19_mb_arrives(server: Running) -> None:
    for way in endpoints(server, "digits_cnn"):
        with pytest.raises(Refused) as caught:
            way.answer(b"{" * 19_000_000, "id")
        assert caught.value.code == "bad_json"


def test_one_that_is_too_large_is_413(server: Running) -> None:
    for way in endpoints(server, "digits_cnn"):
        with pytest.raises(Refused) as caught:
            way.answer(bytes(20_200_000), "id")
        assert caught.value.status == 413


def test_a_killed_worker_is_nothing_to_callers(server: Running) -> None:
    """TorchServe says RESOURCE_EXHAUSTED to those whose worker died; the gateway asks the other one."""
    sample = server.places.models / "digits_mlp" / "samples" / "seven.png"
    way, body = ByGrpc(server.config.gateway.url, "digits_mlp"), sample.read_bytes()
    stop, answered, failed = threading.Event(), [0], list[str]()

    def ask() -> None:
        while not stop.is_set():
            try:
                way.answer(body, "id")
                answered[0] += 1
            except CommandError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        server.wait(lambda: answered[0] > 100, 30)
        os.kill(server.worker_pids("digits_mlp")[0], signal.SIGKILL)
        before = answered[0]
        server.wait(lambda: answered[0] > before + 200, 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    server.wait_ready("digits_mlp")


def test_a_rest_address_is_told_from_a_grpc_one(server: Running) -> None:
    with pytest.raises(NoServer, match="speaks no gRPC"):
        Grpc(server.config.inference.url).predict("digits_cnn", b"[1]")


def test_the_request_id_is_the_caller_s_in_the_error_of_the_gateway(server: Running) -> None:
    for way in (Rest(server.config.gateway.url, "nothing"), ByGrpc(server.config.gateway.url, "nothing")):
        with pytest.raises(Refused) as caught:
            way.answer(b"[1]", "caller-1")
        assert caught.value.request_id == "caller-1"
