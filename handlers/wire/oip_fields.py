"""How much a ModelInferRequest has, measured before protobuf builds anything of it.

Two bytes are enough for an empty input or parameter, which takes a hundred in memory. Numbers are packed into
one field, of which each byte may be one; elements of BYTES have a field each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from handlers.errors import BadInput
from handlers.recipe import Model
from handlers.wire import oip, refusals

MOST = 1000
"""Fields besides the elements of BYTES."""

SHAPE = 200
"""Bytes of a packed shape: more than any that is declared has, each dimension in its longest form."""

LONGEST = 10
"""Bytes of a number in base 128; no other packed one has more."""

Inside: TypeAlias = "dict[int, Inside]"

_CONTENTS: Inside = {}
_PARAMETERS: Inside = {}
_SHAPE, _TEXTS = 3, 8
_TENSOR: Inside = {4: _PARAMETERS, 5: _CONTENTS}
_REQUEST: Inside = {4: _PARAMETERS, 5: _TENSOR, 6: {2: _PARAMETERS}}
"""By number, the messages in which fields are counted as well."""

_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5


def check(content: bytes, recipe: Model) -> None:
    """Raises BadInput for more than a request of the recipe's items has, and for what is no message."""
    most = recipe.max_items
    fields, packed = MOST + most, MOST + most * oip.numbers_of_one(recipe) * LONGEST
    try:
        for count, (message, number, size) in enumerate(_fields(content, 0, len(content), _REQUEST)):
            if message is _TENSOR and number == _SHAPE and size > SHAPE:
                raise oip.bad_shape(f"{size} bytes long", recipe)
            if message is _CONTENTS and number != _TEXTS:
                packed -= size
            if count > fields or packed < 0:
                raise refusals.too_many(most)
    except (IndexError, ValueError):
        raise unreadable() from None


def unreadable() -> BadInput:
    return BadInput(
        "the body is no ModelInferRequest",
        code="bad_input",
        hint="send one message, as open_inference_grpc.proto has it",
    )


def _fields(content: bytes, at: int, end: int, inside: Inside) -> Iterator[tuple[Inside, int, int]]:
    """Of each field its message, its number, and the bytes of what has a length.

    Raises IndexError or ValueError where the bytes are no message.
    """
    while at < end:
        key, at = _varint(content, at)
        number, wire_type = key >> 3, key & 7
        size = 0
        if wire_type == _SIZED:
            size, at = _varint(content, at)
        yield inside, number, size
        if wire_type == _VARINT:
            _, at = _varint(content, at)
        elif wire_type == _EIGHT:
            at += 8
        elif wire_type == _FOUR:
            at += 4
        elif wire_type == _SIZED:
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
