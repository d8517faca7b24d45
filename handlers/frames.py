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

_length = struct.Struct("!i").unpack

Fields = dict[str, object]
"""A request in TorchServe's own form, as its Service takes it."""


class Connection(Protocol):
    """The worker's socket."""

    def recv(self, most: int, /) -> bytes: ...


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
        """In the place of `_retrieve_inference_msg`: a batch, behind the first byte, which tells its kind."""
        found: list[Fields] = []
        while (request_id := self._text(connection)) is not None:
            headers: list[dict[str, bytes]] = []
            while (name := self._text(connection)) is not None:
                headers.append({"name": name, "value": self._text(connection) or b""})
            parameters: list[dict[str, object]] = []
            while (name := self._text(connection)) is not None:
                kind, value = self._text(connection) or b"", self._text(connection) or b""
                parameters.append({"name": name.decode(), "contentType": kind.decode(), "value": value})
            found.append({"requestId": request_id, "headers": headers, "parameters": parameters})
        return found

    def _text(self, connection: Connection) -> bytes | None:
        """The next one; None for what ends a list."""
        (size,) = _length(self.exactly(connection, 4))
        return None if size < 0 else self.exactly(connection, size)

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
