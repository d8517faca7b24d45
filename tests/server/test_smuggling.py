"""Requests whose end one server may see elsewhere than another: refused, or passed on in one form alone.

Behind the gateway stands a socket that keeps every byte: what came there is read by the letter.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.server.gatewayed import Gatewayed

pytestmark = pytest.mark.server

INNER = b"POST /models?url=evil HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
"""What must never become a request of its own."""

POST = b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nx-model-version: 1.0\r\ncontent-length: 2\r\n\r\nok"

WELL_FORMED = re.compile(
    rb"POST /predictions/cat/1\.0 HTTP/1\.1\r\n"
    rb"(?:(?!transfer-encoding|content-length)[a-z0-9-]+: [^\r\n\0]*\r\n)*"
    rb"content-length: (?P<length>\d+)\r\n"
    rb"(?:(?!transfer-encoding|content-length)[a-z0-9-]+: [^\r\n\0]*\r\n)*"
    rb"\r\n"
)


class Wire:
    """In TorchServe's place: answers each request that is there as a whole, and keeps all bytes."""

    def __init__(self, port: int) -> None:
        self.came: list[bytes] = []
        """By connection."""
        self._listening = socket.create_server(("127.0.0.1", port), backlog=64)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._open.append(connection)
                self.came.append(b"")
                words = (connection, len(self.came) - 1)
                serving = threading.Thread(target=self._serve, args=words, daemon=True)
                self._threads.append(serving)
                serving.start()

    def _serve(self, connection: socket.socket, index: int) -> None:
        pending = b""
        with connection, contextlib.suppress(OSError):
            while part := connection.recv(65536):
                self.came[index] += part
                pending += part
                while (end := _end(pending, 0)) is not None:
                    pending = pending[end:]
                    connection.sendall(ANSWER)

    def forget(self) -> None:
        self.came = [b"" for _ in self.came]

    def requests(self) -> list[bytes]:
        """Each with its body; fails where something came that isn't one request after another."""
        found = []
        for came in self.came:
            at = 0
            while at < len(came):
                end = _end(came, at)
                assert end is not None, f"no whole, well-formed request: {came[at:]!r}"
                found.append(came[at:end])
                at = end
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)


def _end(came: bytes, at: int) -> int | None:
    """Where the request ends that begins here; None when it isn't whole, or not well-formed."""
    head = WELL_FORMED.match(came, at)
    end = head.end() + int(head["length"]) if head else len(came) + 1
    return end if end <= len(came) else None


@pytest.fixture(scope="module")
def listening(running_gateway: Gatewayed) -> Iterator[Wire]:
    running_gateway.fake.stop()
    wire = Wire(running_gateway.config.inference.port)
    try:
        yield wire
    finally:
        wire.close()


@pytest.fixture
def wire(listening: Wire) -> Wire:
    listening.forget()
    return listening


def tell(gatewayed: Gatewayed, sent: bytes) -> bytes:
    """All that the gateway says to it."""
    return told(gatewayed, sent)[0]


def told(gatewayed: Gatewayed, sent: bytes, patience: float = 0.5) -> tuple[bytes, bool]:
    """The same, and whether it closed the connection; otherwise it had nothing more to say."""
    said = b""
    with gatewayed.connection() as connection:
        connection.settimeout(patience)
        try:
            connection.sendall(sent)
            while part := connection.recv(65536):
                said += part
        except TimeoutError:
            return said, False
        except OSError:
            return said, True
    return said, True


def statuses(said: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3})", said)]


REFUSED = {
    "CL and TE": POST + b"content-length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + INNER,
    "TE and CL": POST + CHUNKED + b"content-length: 6\r\n\r\n0\r\n\r\n" + INNER,
    "TE twice, the first unknown": POST + b"transfer-encoding: x\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + INNER,
    "TE twice, the last unknown": POST + CHUNKED + b"transfer-encoding: identity\r\n\r\n0\r\n\r\n" + INNER,
    "TE chunked twice": POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE with a vertical tab": POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
    "TE in quotes": POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n' + INNER,
    "TE with a blank before the colon": POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    "CL twice, the same": POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab" + INNER,
    "CL as a list": POST + b"content-length: 2, 2\r\n\r\nab" + INNER,
    "CL with a plus": POST + b"content-length: +2\r\n\r\nab" + INNER,
    "CL in hexadecimal": POST + b"content-length: 0x2\r\n\r\nab" + INNER,
    "CL with a blank inside": POST + b"content-length: 1 2\r\n\r\nab" + INNER,
    "CL with an underline": POST + b"content-length: 1_0\r\n\r\nab" + INNER,
    "CL that overflows": POST + b"content-length: 18446744073709551618\r\n\r\nab" + INNER,
    "CL of nothing": POST + b"content-length: \r\n\r\n" + INNER,
    "CL with a blank before the colon": POST + b"content-length : 0\r\n\r\n" + INNER,
    "a null in a header": POST + b"a: b\0c\r\ncontent-length: 0\r\n\r\n" + INNER,
    "a line without a colon": POST + b"content-length 5\r\n\r\n" + INNER,
    "a header without a name": POST + b": x\r\ncontent-length: 0\r\n\r\n" + INNER,
    "a blank before the first header": b"POST /predictions/cat HTTP/1.1\r\n host: x\r\n\r\n" + INNER,
    "another host as absolute form": b"POST http://127.0.0.1:1/models HTTP/1.1\r\nhost: x\r\n"
    b"content-length: 0\r\n\r\n",
    "chunk: overflow": POST + CHUNKED + b"\r\n10000000000000000\r\na\r\n0\r\n\r\n" + INNER,
    "chunk: negative": POST + CHUNKED + b"\r\n-1\r\na\r\n0\r\n\r\n" + INNER,
    "chunk: hexadecimal prefix": POST + CHUNKED + b"\r\n0x1\r\na\r\n0\r\n\r\n" + INNER,
    "chunk: a blank before": POST + CHUNKED + b"\r\n 1\r\na\r\n0\r\n\r\n" + INNER,
    "chunk: no size": POST + CHUNKED + b"\r\n\r\na\r\n0\r\n\r\n" + INNER,
    "chunk: bare LF": POST + CHUNKED + b"\r\n1\na\n0\n\n" + INNER,
    "chunk: bare CR": POST + CHUNKED + b"\r\n1\ra\r0\r\r" + INNER,
    "chunk: LF in an extension": POST + CHUNKED + b"\r\n1;a\nb\r\na\r\n0\r\n\r\n" + INNER,
}
"""Each refused by what it says, and the connection closed: nothing that comes behind it is a request."""


NORMALISED = {
    "TE on a folded line": (POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + INNER, b""),
    "CL after a bare CR": (POST + b"a: b\rcontent-length: 60\r\n\r\n" + INNER, b""),
    "a folded line": (POST + b"a: b\r\n content-length: 60\r\ncontent-length: 0\r\n\r\n" + INNER, b""),
    "host twice": (POST + b"host: y\r\ncontent-length: 0\r\n\r\n", b""),
    "HTTP 2.7": (POST.replace(b"1.1", b"2.7") + b"content-length: 0\r\n\r\n", b""),
    "two blanks in the first line": (POST.replace(b" HTTP", b"  HTTP") + b"content-length: 0\r\n\r\n", b""),
    "a tab in the first line": (POST.replace(b" HTTP", b"\tHTTP") + b"content-length: 0\r\n\r\n", b""),
    "chunk: longer than its size": (POST + CHUNKED + b"\r\n1\r\nabc\r\n0\r\n\r\n" + INNER, b"a"),
    "chunk: a huge extension": (
        POST + CHUNKED + b"\r\n1;" + b"x" * 100_000 + b"\r\na\r\n0\r\n\r\n" + INNER,
        b"a",
    ),
}
"""What Envoy reads with patience, and the body that it finds: TorchServe gets it in a form free of doubt."""


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_a_request_without_a_certain_end_is_refused_with_all_behind_it(
    gatewayed: Gatewayed, wire: Wire, sent: bytes
) -> None:
    said = tell(gatewayed, sent)
    assert all(400 <= status < 500 or status == 501 for status in statuses(said)), said
    assert len(statuses(said)) <= 1, "what came behind it was answered, too"
    assert wire.requests() == []


@pytest.mark.parametrize(("sent", "body"), NORMALISED.values(), ids=NORMALISED)
def test_what_is_read_with_patience_goes_on_in_a_form_of_one_meaning(
    gatewayed: Gatewayed, wire: Wire, sent: bytes, body: bytes
) -> None:
    said = tell(gatewayed, sent)
    (request,) = wire.requests()
    assert request.endswith(b"\r\n\r\n" + body)
    assert statuses(said) in ([200], [200, 404]), "what came behind it is nothing that the gateway offers"


def test_no_request_behind_a_refused_one_is_answered(gatewayed: Gatewayed, wire: Wire) -> None:
    bad = POST + b"content-length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\n"
    good = POST + b"content-length: 0\r\n\r\n"
    assert statuses(tell(gatewayed, good + bad + good)) in ([200, 400], [400])
    assert len(wire.requests()) <= 1, "only the one before it, at most"


def test_requests_one_behind_another_stay_apart(gatewayed: Gatewayed, wire: Wire) -> None:
    one = POST + b"content-length: %d\r\n\r\n%s" % (len(INNER), INNER)
    unknown = one.replace(b"/cat", b"/cow")
    assert statuses(tell(gatewayed, one + one + unknown)) == [200, 200, 404]
    assert [request[-len(INNER) :] for request in wire.requests()] == [INNER, INNER]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(*headers: tuple[bytes, bytes]) -> bytes:
    """HPACK without its table and without Huffman's code: as a client may write it, byte for byte."""
    return b"".join(b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value for key, value in headers)


DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
CLOSED_IN = 3  # s; Envoy waits a second for the other side to close first
PATH = (b":path", b"/predictions/cat")
BEGIN = ((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"))


def over_http2(
    gatewayed: Gatewayed, headers: tuple[tuple[bytes, bytes], ...], body: bytes
) -> tuple[set[int], bool]:
    """Which kinds of frames the gateway answers one request with, and whether it closes the connection."""
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")
    sent += frame(HEADERS, END_HEADERS, 1, block(*headers)) + frame(DATA, END_STREAM, 1, body)
    (said, closed), found = told(gatewayed, sent, CLOSED_IN), set[int]()
    while len(said) >= 9:
        found.add(said[3])
        said = said[9 + int.from_bytes(said[:3], "big") :]
    return found, closed


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((*BEGIN, PATH, (b"content-length", b"1")), id="CL too small"),
        pytest.param((*BEGIN, PATH, (b"content-length", b"100")), id="CL too large"),
        pytest.param((*BEGIN, PATH, (b"content-length", b"4"), (b"content-length", b"5")), id="CL twice"),
        pytest.param((*BEGIN, PATH, (b"transfer-encoding", b"chunked")), id="TE"),
        pytest.param((*BEGIN, PATH, (b"connection", b"keep-alive")), id="connection"),
        pytest.param((*BEGIN, PATH, (b"Upper", b"x")), id="upper case"),
        pytest.param((*BEGIN, PATH, (b"a\r\nb", b"x")), id="CRLF in a name"),
        pytest.param((*BEGIN, PATH, (b"a", b"x\r\ncontent-length: 60")), id="CRLF in a value"),
        pytest.param((*BEGIN, PATH, (b"a", b"x\0y")), id="null in a value"),
        pytest.param((*BEGIN, PATH, PATH), id="two paths"),
        pytest.param((*BEGIN, (b":path", b"/predictions/cat HTTP/1.1\r\nx: y")), id="CRLF in the path"),
        pytest.param((*BEGIN, (b":path", b"/predictions/cat /models")), id="blank in the path"),
        pytest.param((*BEGIN, (b":path", b"")), id="no path"),
        pytest.param((*BEGIN, (b"a", b"b"), PATH), id="the path behind a header"),
        pytest.param(
            (BEGIN[1], BEGIN[2], (b":method", b"POST /models HTTP/1.1\r\nx: "), PATH), id="CRLF in the method"
        ),
    ],
)
def test_http2_lets_nothing_through_that_http1_would_read_otherwise(
    gatewayed: Gatewayed, wire: Wire, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    found, closed = over_http2(gatewayed, headers, b"abcd")
    assert closed or found & {HEADERS, RST_STREAM, GOAWAY}, "its caller isn't left to wait"
    assert wire.requests() == []


def test_the_same_over_http2_in_order_is_answered(gatewayed: Gatewayed, wire: Wire) -> None:
    found, closed = over_http2(gatewayed, (*BEGIN, PATH, (b"content-length", b"4")), b"abcd")
    assert {HEADERS, DATA} <= found
    assert not closed
    assert not found & {RST_STREAM, GOAWAY}
    (request,) = wire.requests()
    assert request.endswith(b"\r\n\r\nabcd")
