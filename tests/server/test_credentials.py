"""Our own commands before a gateway that asks for a key and speaks TLS: both come by environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from scripts.benchmarking import loading
from scripts.benchmarking.target import Load, Target
from scripts.calling.refused import NoServer, Refused
from scripts.calling.ways import ByGrpc, Rest, Way
from scripts.errors import CommandError
from scripts.gateway.routing import Caller
from scripts.processes.children import Children
from tests.server.gatewayed import routing, started
from tests.server.test_tls import Secured

pytestmark = pytest.mark.server

KEY = "k" * 20


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with started(Secured(tmp_path_factory.mktemp("credentials"))) as gatewayed:
        yield gatewayed


@pytest.fixture
def asking(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> Secured:
    callers = (Caller("ours", (KEY,)), Caller("slow", ("s" * 20,), (), 1, 1))
    secured.gateway.publish(msgspec.structs.replace(routing(), callers=callers))
    monkeypatch.setenv("PTHSERVE_KEY", KEY)
    monkeypatch.setenv("PTHSERVE_CA", str(secured.trusted))
    return secured


def ways(secured: Secured) -> list[Way]:
    return [Rest(secured.url, "cat"), ByGrpc(secured.url, "cat")]


def test_rest_and_grpc_bring_the_key_and_know_whom_to_trust(asking: Secured) -> None:
    for way in ways(asking):
        assert b"1.0" in way.answer(b"x", "one")


def test_without_a_key_they_say_which_variable_to_set(
    asking: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PTHSERVE_KEY")
    for way in ways(asking):
        with pytest.raises(Refused, match="no key with the request") as caught:
            way.answer(b"x", "one")
        assert caught.value.status == 401


def test_beyond_the_keys_rate_they_are_told_when_to_come_again(
    asking: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTHSERVE_KEY", "s" * 20)
    ways(asking)[0].answer(b"x", "one")
    for way in ways(asking):
        with pytest.raises(Refused) as caught:
            way.answer(b"x", "one")
        assert (caught.value.status, caught.value.retry_after) == (429, 1)


def test_who_isnt_trusted_isnt_asked(asking: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PTHSERVE_CA")
    for way in ways(asking):
        with pytest.raises(NoServer):
            way.answer(b"x", "one")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PTHSERVE_KEY", "two words", "PTHSERVE_KEY has a space"),
        ("PTHSERVE_CA", "/nowhere.pem", "PTHSERVE_CA is /nowhere.pem, which can't be read"),
        (
            "PTHSERVE_CERT",
            "/nowhere.pem",
            "PTHSERVE_CERT is /nowhere.pem, its key /nowhere.pem: they don't fit",
        ),
    ],
)
def test_what_is_wrong_with_them_is_told(
    asking: Secured, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CommandError, match=message) as caught:
        Rest(asking.url, "cat").answer(b"x", "one")
    assert "two words" not in str(caught.value)


@pytest.mark.parametrize("one_file", [True, False])
def test_where_callers_need_a_certificate_they_bring_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_file: bool
) -> None:
    with started(Secured(tmp_path, mutual=True)) as mutual:
        monkeypatch.setenv("PTHSERVE_CA", str(mutual.trusted))
        for way in ways(mutual):
            with pytest.raises(NoServer):
                way.answer(b"x", "one")
        issued = mutual.authority.issue_cert("caller")
        if one_file:
            issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "caller.pem")
        else:
            issued.cert_chain_pems[0].write_to_path(tmp_path / "caller.pem")
            issued.private_key_pem.write_to_path(tmp_path / "callers_key.pem")
            monkeypatch.setenv("PTHSERVE_CERT_KEY", str(tmp_path / "callers_key.pem"))
        monkeypatch.setenv("PTHSERVE_CERT", str(tmp_path / "caller.pem"))
        for way in ways(mutual):
            assert b"1.0" in way.answer(b"x", "one")
        assert_loaded(mutual, tmp_path)


def test_a_benchmark_loads_it_too(asking: Secured, tmp_path: Path) -> None:
    assert_loaded(asking, tmp_path)


def assert_loaded(asking: Secured, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(b"[1]")
    target = Target(f"{asking.url}/predictions/cat", str(body))
    found = loading.round_of(Load(target, connections=2, seconds=0.5, warm_up=0.1), Children())
    assert found.errors == {}
    assert found.items > 5
