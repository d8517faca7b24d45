"""How many fields a ModelInferRequest has, counted before protobuf builds anything of them.

Two bytes are enough for an empty input or parameter, which takes a hundred in memory. Numbers are packed into
one field, elements of BYTES have one each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from handlers.errors import BadInput
from handlers.wire import refusals

MOST = 1000
"""Fields besides the elements of BYTES."""

Inside: TypeAlias = "dict[int, Inside]"

_CONTENTS: Inside = {}
_PARAMETERS: Inside = {}
_TENSOR: Inside = {4: _PARAMETERS, 5: _CONTENTS}
_REQUEST: Inside = {4: _PARAMETERS, 5: _TENSOR, 6: {2: _PARAMETERS}}
"""By number, the messages in which fields are counted as well."""

_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5


def check(content: bytes, most: int) -> None:
    """Raises BadInput for more fields than a request of so many items has, and for what is no message."""
    allowed = MOST + most
    try:
        for count, _ in enumerate(_fields(content, 0, len(content), _REQUEST)):
            if count > allowed:
                raise refusals.too_many(most)
    except (IndexError, ValueError):
        raise unreadable() from None


def unreadable() -> BadInput:
    return BadInput(
        "the body is no ModelInferRequest",
        code="bad_input",
        hint="send one message, as open_inference_grpc.proto has it",
    )


def _fields(content: bytes, at: int, end: int, inside: Inside) -> Iterator[int]:
    """The number of each field; raises IndexError or ValueError where the bytes are no message."""
    while at < end:
        key, at = _varint(content, at)
        number, wire_type = key >> 3, key & 7
        yield number
        if wire_type == _VARINT:
            _, at = _varint(content, at)
        elif wire_type == _EIGHT:
            at += 8
        elif wire_type == _FOUR:
            at += 4
        elif wire_type == _SIZED:
            size, at = _varint(content, at)
            if number in inside and at + size <= end:
                yield from _fields(content, at, at + size, inside[number])
            at += size
        else:
            raise ValueError(wire_type)
    if at != end:
        raise ValueError(at)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number at a place, in base 128, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + shift // 7 + 1
    raise ValueError(at)
