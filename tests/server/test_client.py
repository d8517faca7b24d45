"""The client for Python callers, through a real Envoy."""

from __future__ import annotations

import asyncio
import threading

import pytest

from handlers.answers import Regression
from scripts.client import AsyncClient, Client, NotFound, Overloaded, ServerFailed
from tests.server.fake_torchserve import WORKER_DIED, Answer, Seen
from tests.server.gatewayed import Gatewayed, routing

pytestmark = pytest.mark.server


def test_predictions_and_readiness(gatewayed: Gatewayed) -> None:
    gatewayed.fake.says = lambda seen: Answer(200, b'{"values": [1.5]}', {"content-type": "application/json"})
    with Client(gatewayed.url) as client:
        assert client.ready()
        assert client.ready("cat")
        assert client.predict("cat", [1, 2], version="2.0") == Regression([1.5])
        assert client.predict("cat", b"x" * 2**20) == Regression([1.5])

    async def together() -> list[object]:
        async with AsyncClient(gatewayed.url) as client:
            return await asyncio.gather(*(client.predict("dog", [i]) for i in range(20)))

    assert asyncio.run(together()) == [Regression([1.5])] * 20
    assert [seen.version for seen in gatewayed.fake.seen[:2]] == ["2.0", "1.0"]


def test_what_the_gateway_refuses_is_told_with_the_id_of_its_log(gatewayed: Gatewayed) -> None:
    with Client(gatewayed.url, retries=0) as client:
        with pytest.raises(NotFound, match="no such model: bird; check the name") as caught:
            client.predict("bird", b"x")
        assert gatewayed.log(caught.value.request_id)
        with pytest.raises(NotFound, match=r"cat has no such version: 9\.0"):
            client.predict("cat", b"x", version="9.0")
        gatewayed.gateway.publish(routing(unready={"1.0": "is loading"}))
        assert not client.ready("cat")
        with pytest.raises(Overloaded, match=r"cat/1\.0 is loading") as waiting:
            client.predict("cat", b"x")
    assert (waiting.value.code, waiting.value.retry_after) == ("not_ready", 5)


def test_what_a_worker_may_have_died_of_is_not_sent_again(gatewayed: Gatewayed) -> None:
    """The gateway has tried it itself, as often as it does for anybody."""
    gatewayed.fake.says = lambda seen: WORKER_DIED
    assert gatewayed.post("/predictions/cat").status_code == 503
    tried = len(gatewayed.fake.seen)
    with Client(gatewayed.url) as client, pytest.raises(Overloaded) as caught:
        client.predict("cat", b"x")
    assert caught.value.code == "unavailable"
    assert len(gatewayed.fake.seen) == 2 * tried


def test_the_servers_own_deadline_is_no_reason_to_ask_again(gatewayed: Gatewayed) -> None:
    release = threading.Event()

    def hang(seen: Seen) -> Answer:
        release.wait(5)
        return Answer(200, b"{}", {})

    gatewayed.gateway.publish(routing(deadline=0.3))
    gatewayed.fake.says = hang
    with (
        Client(gatewayed.url) as client,
        pytest.raises(ServerFailed, match="didn't answer in time") as caught,
    ):
        client.predict("cat", b"x")
    release.set()
    assert (caught.value.status, caught.value.code) == (504, "deadline_exceeded")
    assert len(gatewayed.fake.seen) == 1
