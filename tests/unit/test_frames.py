"""frames: what Java writes, read as TorchServe's own code reads it, in whatever pieces it comes."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from handlers.frames import LARGEST_PIECE, Reader

with warnings.catch_warnings():  # importing ts leaves its version file open
    warnings.simplefilter("ignore", ResourceWarning)
    from ts.protocol import otf_message_handler as theirs

END = struct.pack("!i", -1)


class Sent(Struct, frozen=True):
    """One request, as Java has it; a parameter is its name, content type and value."""

    headers: Mapping[str, str] = {}
    parameters: Sequence[tuple[str, str, bytes]] = ()
    id: str = "0a5c2d3e-8f7a-4b6c-9d0e-1f2a3b4c5d6e"


def text(value: str | bytes) -> bytes:
    encoded = value.encode() if isinstance(value, str) else value
    return struct.pack("!i", len(encoded)) + encoded


def message(requests: Iterable[Sent]) -> bytes:
    """As ModelRequestEncoder.java writes it."""
    parts = [b"I"]
    for request in requests:
        headers = [text(name) + text(value) for name, value in request.headers.items()]
        parameters = [text(name) + text(kind) + text(value) for name, kind, value in request.parameters]
        parts += [text(request.id), *headers, END, *parameters, END]
    return b"".join([*parts, END])


class Pieces:
    """A connection that gives what was sent in pieces of these sizes, again and again; then it has ended."""

    def __init__(self, sent: bytes, sizes: Sequence[int] = (2**30,)) -> None:
        self._left = sent
        self._sizes = list(sizes)
        self.asked: list[int] = []

    def recv(self, most: int, /) -> bytes:
        self.asked.append(most)
        size = min(most, self._sizes[len(self.asked) % len(self._sizes)])
        piece, self._left = self._left[:size], self._left[size:]
        return piece


requests = st.builds(
    Sent,
    st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=3),
    st.lists(
        st.tuples(st.text(max_size=5), st.sampled_from(["", "image/png"]), st.binary(max_size=40)), max_size=3
    ),
    st.text(min_size=1, max_size=40),
)


@given(
    st.lists(st.lists(requests, max_size=3), min_size=1, max_size=3), st.lists(st.integers(1, 70), min_size=1)
)
def test_messages_read_the_same_in_whatever_pieces_they_come(
    sent: list[list[Sent]], sizes: list[int]
) -> None:
    together = b"".join(map(message, sent))
    reader, ours, original = Reader(), Pieces(together, sizes), Pieces(together)
    for _ in sent:
        assert reader.exactly(ours, 1) == b"I"
        command, expected = theirs.retrieve_msg(original)
        assert command == b"I"
        assert reader.requests(ours) == expected


def test_a_whole_batch_is_one_look_at_the_socket() -> None:
    sent = [Sent({"content-type": "application/json"}, [("body", "application/json", b"[1]")])] * 8
    reader, connection = Reader(), Pieces(message(sent))
    reader.exactly(connection, 1)
    found = reader.requests(connection)
    assert len(connection.asked) == 1
    assert [request["parameters"] for request in found] == [
        [{"name": "body", "contentType": "application/json", "value": b"[1]"}]
    ] * 8


def test_a_large_body_is_asked_for_in_bounded_pieces() -> None:
    body = bytes(range(256)) * 20_000
    reader, connection = Reader(), Pieces(message([Sent(parameters=[("body", "image/png", body)])]))
    reader.exactly(connection, 1)
    (request,) = reader.requests(connection)
    assert request["parameters"] == [{"name": "body", "contentType": "image/png", "value": body}]
    assert max(connection.asked) == LARGEST_PIECE
    assert len(connection.asked) < 10


def read(reader: Reader, connection: Pieces) -> None:
    reader.exactly(connection, 1)
    reader.requests(connection)


def test_the_worker_ends_when_java_has() -> None:
    whole = message([Sent({"a": "b"})])
    for size in range(len(whole)):
        reader, connection = Reader(), Pieces(whole[:size])
        with pytest.raises(SystemExit) as ended:
            read(reader, connection)
        assert ended.value.code == 0
