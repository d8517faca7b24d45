"""TorchServe's messages to its worker, taken off the socket in large pieces.

ts/protocol/otf_message_handler.py asks the socket for every length and every field by itself, fifty times for
a request; here one look takes all that has come. Big-endian, a length of -1 ends a list:

    message    b"I", requests, -1
    request    id, headers (name, value), -1, parameters (name, content type, value), -1
    each text  its length in four bytes, and so many bytes
"""

from __future__ import annotations

import logging
import struct
import sys
from typing import Protocol

PIECE = 2**16
"""Bytes of one look: some requests of a batch, and no more than memory that is there already."""

LARGEST_PIECE = 2**20

_length_at = struct.Struct("!i").unpack_from

Fields = dict[str, object]
"""A request in TorchServe's own form, as its Service takes it."""


class Connection(Protocol):
    """The worker's socket."""

    def recv(self, most: int, /) -> bytes: ...


class Short(Exception):
    """The message isn't all there: `upto` bytes of it are needed before anything more can be said."""

    def __init__(self, upto: int) -> None:
        super().__init__(upto)
        self.upto = upto


class Reader:
    """The one reader of a connection; what it took and nobody asked for yet waits in it."""

    def __init__(self) -> None:
        self._held = b""
        self._at = 0

    def exactly(self, connection: Connection, length: int) -> bytes:
        """In the place of `_retrieve_buffer`: so many bytes; the process ends when the other side has."""
        upto = self._at + length
        if upto > len(self._held):
            self._take(connection, length)
            upto = length
        taken = self._held[self._at : upto]
        self._at = upto
        return taken

    def requests(self, connection: Connection) -> list[Fields]:
        """In the place of `_retrieve_inference_msg`: all requests of a message whose first byte was read."""
        found: list[Fields] = []
        while True:
            try:
                request, self._at = _request(self._held, self._at)
            except Short as short:
                self._take(connection, short.upto - self._at)
                continue
            if request is None:
                return found
            found.append(request)

    def _take(self, connection: Connection, needed: int) -> None:
        """Until what is held, without what was read of it, has as many bytes."""
        pieces = [self._held[self._at :]]
        missing = needed - len(pieces[0])
        while missing > 0:
            piece = connection.recv(min(max(missing, PIECE), LARGEST_PIECE))
            if not piece:
                logging.info("Frontend disconnected.")
                sys.exit(0)
            pieces.append(piece)
            missing -= len(piece)
        self._held, self._at = b"".join(pieces), 0


def _request(held: bytes, at: int) -> tuple[Fields | None, int]:
    """(the request at a place, the place after it), None at the end of the list; raises Short."""
    request_id, at = _text(held, at)
    if request_id is None:
        return None, at
    headers: list[dict[str, bytes]] = []
    while True:
        name, at = _text(held, at)
        if name is None:
            break
        value, at = _text(held, at)
        headers.append({"name": name, "value": value or b""})
    parameters: list[dict[str, object]] = []
    while True:
        name, at = _text(held, at)
        if name is None:
            return {"requestId": request_id, "headers": headers, "parameters": parameters}, at
        kind, at = _text(held, at)
        value, at = _text(held, at)
        parameters.append(
            {"name": name.decode(), "contentType": (kind or b"").decode(), "value": value or b""}
        )


def _text(held: bytes, at: int) -> tuple[bytes | None, int]:
    """(the text at a place, the place after it), None for what ends a list; raises Short."""
    start = at + 4
    if start > len(held):
        raise Short(start)
    (size,) = _length_at(held, at)
    if size < 0:
        return None, start
    end = start + size
    if end > len(held):
        raise Short(end)
    return held[start:end], end
