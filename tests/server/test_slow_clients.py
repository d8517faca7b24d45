"""A thousand clients that send slowly or never read are cut in time, and keep nobody else waiting.

The gateway's patience is shorter here than it is in gateway/envoy.yaml; all else is as it is there.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from scripts.config import Config
from scripts.gateway import answering, bootstrap
from tests.server.dawdlers import never_read, send_slowly
from tests.server.fake_torchserve import Answer, Reset, Seen, handler_says
from tests.server.gatewayed import Gatewayed, eventually, routing, started
from tests.server.load import Load
from tests.server.test_gateway_limits import limited

pytestmark = pytest.mark.server

CROWD = 1000
HEADERS_IN, ARRIVES_IN, IDLE = 3, 5, 2  # s
SLACK = 15  # s; a thousand connections on a busy machine
LIMIT = 16
"""Of `cat`: many fewer than those who are slow."""

HEAD = b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def files() -> Iterator[None]:
    """As many as the crowd and the fake TorchServe need, in this process; Envoy sees to itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CROWD
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"ulimit -Hn is {hard}; raise it to {wanted}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def impatient(files: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gatewayed]:
    real = bootstrap.document

    def document(config: Config, scratch: Path, log: Path) -> dict[str, Any]:
        found = real(config, scratch, log)
        public = next(one for one in found["static_resources"]["listeners"] if one["name"] == "public")
        filters = [one for chain in public["filter_chains"] for one in chain["filters"]]
        (manager,) = (one["typed_config"] for one in filters if "http_connection_manager" in one["name"])
        assert {"request_headers_timeout", "request_timeout", "stream_idle_timeout"} <= manager.keys()
        manager["request_headers_timeout"] = f"{HEADERS_IN}s"
        manager["request_timeout"] = f"{ARRIVES_IN}s"
        manager["stream_idle_timeout"] = f"{IDLE}s"
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "document", document)
        patch.setattr(answering, "IDLE", IDLE)
        with started(Gatewayed(tmp_path_factory.mktemp("impatient"))) as gatewayed:
            yield gatewayed


@pytest.fixture
def address(impatient: Gatewayed) -> tuple[str, int]:
    impatient.fake.forget()
    impatient.gateway.publish(limited(LIMIT))
    return "127.0.0.1", impatient.config.gateway.port


def connections(gatewayed: Gatewayed) -> int:
    """Of callers, as the gateway counts them."""
    metrics = requests.get(gatewayed.config.gateway_metrics.url + "/metrics", timeout=10).text
    found = re.search(r'^envoy_http_downstream_cx_active\{listener="gateway"\} (\d+)', metrics, re.M)
    assert found, metrics
    return int(found[1])


@pytest.mark.parametrize(
    ("begun", "byte", "within"),
    [
        pytest.param(HEAD + b"slow: ", b"x", HEADERS_IN, id="headers"),
        pytest.param(HEAD + b"content-length: 1000\r\n\r\n", b"x", ARRIVES_IN, id="a small body"),
        pytest.param(HEAD + b"content-length: 100000\r\n\r\n", b"x", ARRIVES_IN, id="a large body"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n", ARRIVES_IN, id="chunks"),
    ],
)
def test_who_sends_byte_by_byte_is_told_so_and_cut_in_time(
    impatient: Gatewayed, address: tuple[str, int], begun: bytes, byte: bytes, within: float
) -> None:
    with Load(impatient.url + "/predictions/cat", b"x", clients=2, pause=0.01) as load:
        load.reach(5)
        slow = send_slowly(address, begun, byte, CROWD, within + SLACK)
        load.reach(5)
    assert load.bad() == [], load.summary()
    assert [one.status for one in slow] == [408] * CROWD
    assert all(b'"code": "request_timeout"' in one.answer for one in slow)
    assert min(one.seconds for one in slow) > within - 1, "nobody is cut before the time"
    assert all(seen.body == b"x" for seen in impatient.fake.seen), "nothing of theirs got through"
    eventually(lambda: impatient.gateway.active_all() == 0)


def test_who_never_reads_is_cut_and_keeps_no_place(impatient: Gatewayed, address: tuple[str, int]) -> None:
    """What is left of an answer at its deadline is let go, with the memory that it takes."""
    large, deadline = b"z" * 8_000_000, 3

    def says(seen: Seen) -> Answer | Reset:
        if seen.body == b"large":
            return Answer(200, large, {"x-model-version": seen.version})
        return handler_says(seen)

    impatient.fake.says = says
    soon, later = routing(deadline=deadline), routing(deadline=60)
    patient = msgspec.structs.replace(soon, models={**soon.models, "dog": later.models["dog"]})
    impatient.gateway.publish(patient)
    asked = HEAD + b"connection: close\r\ncontent-length: 5\r\n\r\nlarge"
    with Load(impatient.url + "/predictions/dog", b"x", clients=2, pause=0.01) as load:
        load.reach(5)
        readers = never_read(address, asked, CROWD)
        try:
            eventually(lambda: impatient.gateway.active("cat", "1.0") > LIMIT)
            eventually(lambda: impatient.gateway.active("cat", "1.0") == 0, deadline + SLACK)
            eventually(lambda: connections(impatient) < CROWD / 10, IDLE + SLACK)
            load.reach(5)
            assert impatient.post("/predictions/cat").status_code == 200
        finally:
            for one in readers:
                one.close()
    assert load.bad() == [], load.summary()
