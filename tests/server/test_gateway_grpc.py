"""gRPC through the gateway: a message is routed by the model that it names, and errors are as REST's."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import grpc
import pytest

from tests.server.fake_torchserve import METHOD, Failed, field, message, varint, version_by_grpc
from tests.server.gatewayed import LIMIT, Gatewayed, eventually, routing

pytestmark = pytest.mark.server

SERVICE = METHOD.rpartition("/")[0]
ID = (("x-request-id", "by-grpc"),)


def answered(gatewayed: Gatewayed, sent: bytes) -> tuple[bytes, Any]:
    """(NAME/VERSION that answered, the call)."""
    answer, call = gatewayed.call(sent, metadata=ID)
    assert answer is not None, call.details()
    return answer[2:], call


def refused(gatewayed: Gatewayed, sent: bytes, method: str = METHOD, **more: Any) -> tuple[str, str, Any]:
    """(gRPC's code, ours, the call)."""
    answer, call = gatewayed.call(sent, method, metadata=ID, **more)
    assert answer is None
    body = json.loads(call.details())
    assert body["request_id"] == "by-grpc"
    assert set(body["error"]) == {"code", "message", "hint"}
    return call.code().name, body["error"]["code"], call


@pytest.mark.parametrize(("asked", "given"), [("", "1.0"), ("1.0", "1.0"), ("2.0", "2.0")])
def test_the_version_is_the_routes_and_stands_in_the_message(
    gatewayed: Gatewayed, asked: str, given: str
) -> None:
    found, call = answered(gatewayed, message("cat", asked))
    assert found == f"cat/{given}".encode()
    metadata = dict(call.initial_metadata())
    assert (metadata["x-model-version"], metadata["x-request-id"]) == (given, "by-grpc")
    (fields,) = gatewayed.fake.messages
    inputs = [content for number, content in fields if number == 3]
    assert inputs == [field(1, b"data") + field(2, b"x"), field(1, b"x-request-id") + field(2, b"by-grpc")]
    line = gatewayed.log("by-grpc")
    assert line["path"] == METHOD
    assert (line["grpc_status"], line["peer"]) == ("OK", "127.0.0.1")


@pytest.mark.parametrize(
    "sent",
    [
        field(3, field(1, b"data") + field(2, b"x")) + field(1, b"cat"),
        field(2, b"2.0") + field(1, b"dog") + field(1, b"cat") + field(2, b"1.0"),
        field(1, b"cat") + field(2, b""),
        varint(5 * 8)
        + varint(2**40)
        + varint(6 * 8 + 1)
        + b"8 bytes!"
        + varint(7 * 8 + 5)
        + b"four"
        + field(1, b"cat"),
        field(1, b"cat") + field(4, b"sequence") + field(1000, b"later"),
    ],
)
def test_fields_in_any_order_the_last_counts_and_others_are_passed_over(
    gatewayed: Gatewayed, sent: bytes
) -> None:
    gatewayed.fake.raw = True
    answer, call = gatewayed.call(sent)
    assert answer == b"raw", call
    (arrived,) = gatewayed.fake.raw_messages
    assert arrived.startswith(sent + field(1, b"cat") + field(2, b"1.0"))


@pytest.mark.parametrize(
    ("sent", "code", "ours"),
    [
        (message("cow"), "NOT_FOUND", "unknown_model"),
        (message("cat", "9.9"), "NOT_FOUND", "unknown_version"),
        (message('c"at'), "NOT_FOUND", "unknown_model"),
        (message("cat\n"), "NOT_FOUND", "unknown_model"),
        (message("cat", '1"0'), "NOT_FOUND", "unknown_version"),
        (message("x" * 1000), "NOT_FOUND", "unknown_model"),
        (message(""), "INVALID_ARGUMENT", "bad_input"),
        (b"", "INVALID_ARGUMENT", "bad_input"),
        (b"\xff" * 20, "INVALID_ARGUMENT", "bad_input"),
        (message("cat")[:-1], "INVALID_ARGUMENT", "bad_input"),
        (field(1, b"cat") + b"\x1a\xff\xff\xff\xff\x7f", "INVALID_ARGUMENT", "bad_input"),
        (field(1, b"cat") + b"\x0b\x0c", "INVALID_ARGUMENT", "bad_input"),
        (field(1, b"cat") + varint(6 * 8 + 1) + b"short", "INVALID_ARGUMENT", "bad_input"),
        (field(1, b"cat") + b"\x08", "INVALID_ARGUMENT", "bad_input"),
        (message("cat", "", b"x" * LIMIT), "RESOURCE_EXHAUSTED", "too_large"),
    ],
)
def test_what_is_refused(gatewayed: Gatewayed, sent: bytes, code: str, ours: str) -> None:
    assert refused(gatewayed, sent)[:2] == (code, ours)
    assert gatewayed.fake.messages == []


def test_a_compressed_message_is_told_to_come_as_it_is(gatewayed: Gatewayed) -> None:
    sent = message("cat", "", b"x" * 10_000)
    assert refused(gatewayed, sent, compression=grpc.Compression.Gzip)[:2] == (
        "UNIMPLEMENTED",
        "unsupported_type",
    )


@pytest.mark.parametrize(
    "method",
    [
        f"{SERVICE}/Ping",
        f"{SERVICE}/StreamPredictions",
        f"{SERVICE}/predictions",
        f"{METHOD}?x=1",
        "/org.pytorch.serve.grpc.management.ManagementAPIsService/RegisterModel",
        "/org.pytorch.serve.grpc.openinference.GRPCInferenceService/ModelInfer",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
def test_other_methods_are_unimplemented(gatewayed: Gatewayed, method: str) -> None:
    assert refused(gatewayed, message("cat"), method)[:2] == ("UNIMPLEMENTED", "not_found")
    assert gatewayed.fake.messages == []


def test_a_callers_own_deadline_ends_here(gatewayed: Gatewayed) -> None:
    """TorchServe would break the call off in a way that asks for a second attempt."""
    release = threading.Event()

    def says(fields: list[tuple[int, bytes]]) -> bytes | Failed:
        release.wait(2)
        return version_by_grpc(fields)

    gatewayed.fake.says_by_grpc = says
    with gatewayed.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(METHOD)(message("cat"), timeout=0.3)
    release.set()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "grpc-timeout" not in gatewayed.fake.metadata[0]
    assert len(gatewayed.fake.messages) == 1


def test_headers_cant_name_another_model_than_the_message(gatewayed: Gatewayed) -> None:
    metadata = (
        ("x-pthserve-model", "dog"),
        ("x-pthserve-version", "2.0"),
        ("x-pthserve-whole", "yes"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
    )
    answer, call = gatewayed.call(message("cat"), metadata=metadata)
    assert answer == field(1, b"cat/1.0"), call


def test_an_unready_version_and_a_stopping_server_are_unavailable(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(routing(unready={"1.0": "is loading"}))
    for version in ("", "1.0"):
        code, ours, call = refused(gatewayed, message("cat", version))
        assert (code, ours) == ("UNAVAILABLE", "not_ready")
        assert dict(call.trailing_metadata())["retry-after"] == "5"
    assert answered(gatewayed, message("cat", "2.0"))[0] == b"cat/2.0"
    gatewayed.gateway.publish(routing(stopping=True))
    assert refused(gatewayed, message("dog"))[:2] == ("UNAVAILABLE", "stopping")


def test_a_deadline(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(routing(deadline=0.3))
    release = threading.Event()

    def says(fields: list[tuple[int, bytes]]) -> bytes | Failed:
        release.wait(5)
        return version_by_grpc(fields)

    gatewayed.fake.says_by_grpc = says
    assert refused(gatewayed, message("cat"))[:2] == ("DEADLINE_EXCEEDED", "deadline_exceeded")
    release.set()
    assert len(gatewayed.fake.messages) == 1


@pytest.mark.parametrize("status", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_died_worker_is_tried_once_more(gatewayed: Gatewayed, status: grpc.StatusCode) -> None:
    """TorchServe says the second when the worker was killed, the first when it was too slow."""
    died = Failed(status, "InternalServerException: Worker died.")
    first = iter([died])
    gatewayed.fake.says_by_grpc = lambda fields: next(first, None) or version_by_grpc(fields)
    body = b"y" * 15_000_000
    assert answered(gatewayed, message("cat", "", body))[0] == b"cat/1.0"
    assert len(gatewayed.fake.messages) == 2
    gatewayed.fake.forget()
    gatewayed.fake.says_by_grpc = lambda fields: died
    code, ours, call = refused(gatewayed, message("cat"))
    assert (code, ours) == ("UNAVAILABLE", "unavailable")
    assert dict(call.trailing_metadata())["retry-after"] == "2"
    assert len(gatewayed.fake.messages) == 2


@pytest.mark.parametrize(
    ("said", "code", "ours", "attempts"),
    [
        ((grpc.StatusCode.INTERNAL, 'Model "cat" has no worker to serve'), "UNAVAILABLE", "overloaded", 1),
        ((grpc.StatusCode.INTERNAL, "ModelNotFoundException: no"), "NOT_FOUND", "unknown_version", 1),
        ((grpc.StatusCode.INTERNAL, "Prediction failed"), "UNAVAILABLE", "unavailable", 1),
        ((grpc.StatusCode.RESOURCE_EXHAUSTED, "message too large"), "RESOURCE_EXHAUSTED", "too_large", 1),
        ((grpc.StatusCode.UNKNOWN, ""), "INVALID_ARGUMENT", "bad_input", 1),
        ((grpc.StatusCode.UNAVAILABLE, "closing"), "UNAVAILABLE", "unavailable", 2),
    ],
)
def test_torchserves_own_errors_become_ours(
    gatewayed: Gatewayed, said: tuple[grpc.StatusCode, str], code: str, ours: str, attempts: int
) -> None:
    gatewayed.fake.says_by_grpc = lambda fields: Failed(*said)
    assert refused(gatewayed, message("cat"))[:2] == (code, ours)
    assert len(gatewayed.fake.messages) == attempts


def test_nobody_behind_it_is_fast(gatewayed: Gatewayed) -> None:
    gatewayed.fake.stop()
    try:
        begun = time.monotonic()
        assert refused(gatewayed, message("cat"))[:2] == ("UNAVAILABLE", "unavailable")
        assert time.monotonic() - begun < 2
    finally:
        gatewayed.fake.start()


def test_requests_in_flight_are_counted(gatewayed: Gatewayed) -> None:
    release = threading.Event()

    def says(fields: list[tuple[int, bytes]]) -> bytes | Failed:
        release.wait(10)
        return version_by_grpc(fields)

    gatewayed.fake.says_by_grpc = says
    gateway = gatewayed.gateway
    with gatewayed.channel() as channel:
        calls = [channel.unary_unary(METHOD).future(message("cat", "2.0")) for _ in range(3)]
        eventually(lambda: gateway.active("cat", "2.0") == 3)
        assert gateway.active_all() == 3
        release.set()
        assert {call.result(10) for call in calls} == {field(1, b"cat/2.0")}
    eventually(lambda: gateway.active("cat", "2.0") == 0 == gateway.active_all())


def test_a_slow_upload_is_answered_by_the_version_that_is_there_when_it_ends(gatewayed: Gatewayed) -> None:
    """grpcio sends no message in parts, so the frames of HTTP/2 are written here."""
    whole = message("cat", "", b"slow")
    framed = b"\0" + len(whole).to_bytes(4, "big") + whole
    gateway = gatewayed.gateway
    with gatewayed.connection() as slow:
        slow.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        headers = {":method": "POST", ":scheme": "http", ":path": METHOD, ":authority": "x", "te": "trailers"}
        headers["content-type"] = "application/grpc"
        slow.sendall(frame(1, 4, 1, b"".join(map(literal, headers, headers.values()))))
        slow.sendall(frame(0, 0, 1, framed[:10]))
        eventually(lambda: gateway.active_all() == 1)
        gateway.publish(routing("2.0", ("2.0",)))  # 1.0 has gone, its clusters too
        gateway.publish(routing("2.0", ("2.0", "3.0")))
        slow.sendall(frame(0, 1, 1, framed[10:]))
        assert b"cat/2.0" in until(slow, b"cat/2.0")
    assert dict(gatewayed.fake.messages[0])[2] == b"2.0"


@pytest.mark.parametrize("wrong", ["method", "trailers"])
def test_what_no_grpc_client_sends(gatewayed: Gatewayed, wrong: str) -> None:
    whole = message("cat")
    headers = {
        ":method": "GET" if wrong == "method" else "POST",
        ":scheme": "http",
        ":path": METHOD,
        ":authority": "x",
        "content-type": "application/grpc",
    }
    with gatewayed.connection() as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        connection.sendall(frame(1, 4, 1, b"".join(map(literal, headers, headers.values()))))
        last = int(wrong != "trailers")
        connection.sendall(frame(0, last, 1, b"\0" + len(whole).to_bytes(4, "big") + whole))
        if not last:
            connection.sendall(frame(1, 5, 1, literal("x-request-id", "another")))
        eventually(lambda: gatewayed.gateway.active_all() == 0)
    assert gatewayed.fake.messages == []


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """One frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def literal(name: str, value: str) -> bytes:
    """A header as HPACK's literal without indexing (RFC 7541, 6.2.2), both below 127 bytes."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


def until(connection: socket.socket, wanted: bytes) -> bytes:
    answer = b""
    while wanted not in answer and (part := connection.recv(65536)):
        answer += part
    return answer
