"""Where we can't listen is told before anything is started, with the line to change."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.config import Address
from scripts.errors import CommandError
from scripts.processes import ports

SOURCE = Path("/etc/config.properties")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_told_with_its_key_and_file(taken: int) -> None:
    addresses = [Address("metrics_address", "127.0.0.1", 0), Address("inference_address", "127.0.0.1", taken)]
    with pytest.raises(CommandError) as caught:
        ports.check(addresses, SOURCE)
    assert str(caught.value) == (
        f"can't listen on 127.0.0.1:{taken} (Address already in use); "
        "stop what uses it, or change inference_address in /etc/config.properties"
    )


def test_a_port_of_every_address_is_taken_by_one_that_listens_on_loopback(taken: int) -> None:
    with pytest.raises(CommandError, match="already in use"):
        ports.check([Address("gateway_address", "0.0.0.0", taken)], SOURCE)


def test_a_free_port_is_free_still_after_the_question(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    ports.check([Address("inference_address", "127.0.0.1", free)] * 2, SOURCE)
    socket.create_server(("127.0.0.1", free)).close()


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(CommandError, match=r"can't listen on 192\.0\.2\.1:8080 \(Cannot assign"):
        ports.check([Address("inference_address", "192.0.2.1", 8080)], SOURCE)  # TEST-NET-1, RFC 5737


def test_a_name_that_is_no_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(ports.socket, "getaddrinfo", unknown)
    with pytest.raises(CommandError, match="gateway_address: 'nowhere' is no address of this machine"):
        ports.check([Address("gateway_address", "nowhere", 8080)], SOURCE)


def test_names_become_numbers() -> None:
    assert ports.numeric(Address("inference_address", "localhost", 8080)) in [
        ("127.0.0.1", 8080),
        ("::1", 8080),
    ]


@pytest.mark.parametrize(
    ("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.2", "127.0.0.2")]
)
def test_what_listens_everywhere_is_reached_on_loopback(host: str, reached: str) -> None:
    assert ports.reached(Address("inference_address", host, 8080)) == (reached, 8080)


def test_a_port_that_cant_be_is_told() -> None:
    with pytest.raises(CommandError, match="70000"):
        ports.check([Address("grpc_inference_port", "127.0.0.1", 70_000)], SOURCE)
