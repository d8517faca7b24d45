"""How many requests of a version are in flight: the gateway refuses those beyond at once, and no others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import msgspec
import pytest
import requests

from scripts.gateway.routing import ModelRoutes, Routing
from tests.server.fake_torchserve import Answer, Reset, Seen, field, handler_says, message
from tests.server.gatewayed import Gatewayed, error, eventually, routing
from tests.server.load import Load

pytestmark = pytest.mark.server

LIMIT = 4


def limited(to: int) -> Routing:
    """`cat` with so many requests in flight at most, and `dog` without a limit."""
    whole = routing()
    cat = whole.models["cat"]
    versions = {version: msgspec.structs.replace(route, limit=to) for version, route in cat.versions.items()}
    return msgspec.structs.replace(whole, models={**whole.models, "cat": ModelRoutes(versions, cat.default)})


@pytest.fixture
def held(gatewayed: Gatewayed) -> Iterator[threading.Event]:
    """Nobody who asks for `cat` is answered before this is set."""
    release = threading.Event()

    def says(seen: Seen) -> Answer | Reset:
        if seen.path.startswith("/predictions/cat"):
            release.wait(30)
        return handler_says(seen)

    def says_by_grpc(_: list[tuple[int, bytes]]) -> bytes:
        release.wait(30)
        return field(1, b"late")

    gatewayed.fake.says, gatewayed.fake.says_by_grpc = says, says_by_grpc
    yield release
    release.set()


def in_flight(
    gatewayed: Gatewayed, pool: ThreadPoolExecutor, ask: Callable[[], Any], count: int
) -> list[Future[Any]]:
    """So many, once they are counted."""
    before = gatewayed.gateway.active("cat", "1.0")
    futures = [pool.submit(ask) for _ in range(count)]
    eventually(lambda: gatewayed.gateway.active("cat", "1.0") == before + count)
    return futures


def ask_cat(gatewayed: Gatewayed, body: bytes = b"x") -> requests.Response:
    """On a connection of its own: sessions aren't made for threads."""
    return requests.post(gatewayed.url + "/predictions/cat", data=body, timeout=30)


@pytest.mark.parametrize("size", [1, 200_000], ids=["small", "read whole"])
def test_those_beyond_the_limit_are_refused_at_once_and_those_within_are_answered(
    gatewayed: Gatewayed, held: threading.Event, size: int
) -> None:
    gatewayed.gateway.publish(limited(LIMIT))
    with ThreadPoolExecutor(LIMIT) as pool:
        within = in_flight(gatewayed, pool, lambda: ask_cat(gatewayed, b"x" * size), LIMIT)
        for _ in range(20):
            began = time.monotonic()
            refused = gatewayed.post("/predictions/cat", b"x" * size)
            assert time.monotonic() - began < 2, "it didn't wait for those who are answered"
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert error(refused)["code"] == "overloaded"
        assert gatewayed.gateway.active("cat", "1.0") == LIMIT
        assert gatewayed.post("/predictions/dog").status_code == 200, "no other model is affected"
        held.set()
        assert [one.result().status_code for one in within] == [200] * LIMIT
    assert gatewayed.post("/predictions/cat").status_code == 200
    assert len(gatewayed.fake.seen) == LIMIT + 2, "none of the refused came here, and none twice"


def test_over_grpc_they_are_told_the_same(gatewayed: Gatewayed, held: threading.Event) -> None:
    gatewayed.gateway.publish(limited(LIMIT))
    with ThreadPoolExecutor(LIMIT) as pool:
        within = in_flight(gatewayed, pool, lambda: gatewayed.call(message("cat")), LIMIT)
        for _ in range(5):
            answer, call = gatewayed.call(message("cat"))
            assert answer is None
            assert call.code() == grpc.StatusCode.UNAVAILABLE
            assert '"overloaded"' in call.details()
            assert ("retry-after", "1") in call.initial_metadata() + call.trailing_metadata()
        held.set()
        assert all(one.result()[0] is not None for one in within)


def test_a_limit_changes_while_requests_are_in_flight(gatewayed: Gatewayed, held: threading.Event) -> None:
    """Nobody is lost, and all are counted. A changed limit is for those who come from then on."""
    gatewayed.gateway.publish(limited(LIMIT))
    with ThreadPoolExecutor(4 * LIMIT) as pool:
        within = in_flight(gatewayed, pool, lambda: ask_cat(gatewayed), LIMIT)
        gatewayed.gateway.publish(limited(2))
        assert gatewayed.gateway.active("cat", "1.0") == LIMIT
        within += in_flight(gatewayed, pool, lambda: ask_cat(gatewayed), 2)
        assert error(ask_cat(gatewayed))["code"] == "overloaded"
        gatewayed.gateway.publish(limited(0))
        assert gatewayed.gateway.active("cat", "1.0") == LIMIT + 2
        within += in_flight(gatewayed, pool, lambda: ask_cat(gatewayed), 2 * LIMIT)
        held.set()
        assert [one.result().status_code for one in within] == [200] * (3 * LIMIT + 2)
    eventually(lambda: gatewayed.gateway.active("cat", "1.0") == 0)


def test_no_request_is_lost_while_limits_change_under_load(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(limited(100))
    with Load(gatewayed.url + "/predictions/cat", b"x", clients=8) as load:
        load.reach(50)
        for turn in range(20):
            gatewayed.gateway.publish(limited(100 + turn % 3))
            load.reach(20)
    assert load.bad() == [], load.summary()
    eventually(lambda: gatewayed.gateway.active("cat", "1.0") == 0)
