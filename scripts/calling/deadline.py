"""A call's deadline on the connection that carries it, for the client that waits in its own thread.

httpx bounds each read and each write, so an answer whose headers come byte by byte could take any time.
httpcore's trace extension hands out each connection as it opens (https://www.encode.io/httpcore/extensions/#trace);
from then on it asks, whoever calls, how long the call in this thread may still take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from scripts.calling.course import Course

PIECE = 2**16
"""Bytes of one write: the deadline is looked at between them."""

_OPENED = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")

_course: ContextVar[Course] = ContextVar("course")


@contextmanager
def kept(course: Course) -> Iterator[None]:
    """Inside, whatever is read and written is over when the course is: then it raises TimedOut."""
    token = _course.set(course)
    try:
        yield
    finally:
        _course.reset(token)


def trace(event: str, told: Mapping[str, Any]) -> None:
    """What httpcore calls: of a connection, or its TLS, that came about, `return_value` is the stream."""
    if event.endswith(_OPENED):
        _bind(told["return_value"])


def _bind(stream: Any) -> None:
    """`stream` is an httpcore.NetworkStream, used by one call at a time."""
    read, write = stream.read, stream.write

    def read_in_time(max_bytes: int, timeout: float | None = None) -> bytes:
        received: bytes = read(max_bytes, _left(timeout))
        return received

    def write_in_time(content: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(content), PIECE):
            write(content[at : at + PIECE], _left(timeout))

    stream.read, stream.write = read_in_time, write_in_time


def _left(timeout: float | None) -> float | None:
    """Seconds; raises TimedOut when there are none."""
    course = _course.get(None)
    return timeout if course is None else course.left()
