"""A JSON body -> items: {"input": [...]}, a bare array, or {"image": {"b64": "..."}}.

Pictures are read here, numbers by json_numbers.
"""

from __future__ import annotations

import re
from collections.abc import Set

import msgspec
from msgspec import Raw, Struct

from handlers.errors import BadInput
from handlers.recipe import Model
from handlers.wire import encoded, json_numbers, refusals
from handlers.wire.types import Item

_OPENING = re.compile(rb"(?:\s*\[){0,9}")  # deeper than any declared shape goes

UNREADABLE = (RecursionError, msgspec.DecodeError, UnicodeDecodeError)
"""What decoding raises."""

FIELDS = frozenset({"input", "image"})
"""Of an object, the one that holds the items."""


COLONS = 4
"""Of an item: {"image": {"b64": "data:..."}} has three."""


class Encoded(Struct, frozen=True, forbid_unknown_fields=True):
    """{"b64": "..."}"""

    b64: str


Picture = str | Encoded
"""Base64, a data URL, or {"b64": ...}."""

_fields = msgspec.json.Decoder(dict[str, Raw])
_picture = msgspec.json.Decoder(Picture)
_pictures = msgspec.json.Decoder(list[Raw])


def read(body: bytes, recipe: Model) -> tuple[tuple[Item, ...], bool]:
    """(items, whether it was a list); raises BadInput."""
    try:
        return _value(_unwrapped(body, recipe, FIELDS), recipe)
    except UNREADABLE as error:
        raise unreadable(error, form(recipe)) from None


def one(part: bytes, recipe: Model, names: Set[str] = FIELDS) -> Item:
    """One of a list, in any form that it may have alone; what is wrong with it is its own error."""
    try:
        (item, *others), _ = _value(_unwrapped(part, recipe, names), recipe)
    except BadInput as error:
        return error
    except UNREADABLE as error:
        return unreadable(error, form(recipe))
    return refusals.list_in_list() if others else item


def unreadable(error: Exception, hint: str) -> BadInput:
    """What one of UNREADABLE says, as one of ours."""
    if isinstance(error, RecursionError):
        return BadInput("the JSON is nested too deeply", code="bad_json", hint=hint)
    if isinstance(error, msgspec.ValidationError):
        return BadInput(f"the JSON has another form: {error}"[:300], code="wrong_type", hint=hint)
    return BadInput(f"the body is no valid JSON: {error}"[:300], code="bad_json", hint=hint)


def depth_of(value: bytes) -> tuple[int, bytes]:
    """How many brackets the value opens with, and the first byte behind them."""
    opening = _OPENING.match(value)
    if opening is None:
        return 0, value.lstrip()[:1]
    return opening.group().count(b"["), value[opening.end() :].lstrip()[:1]


def form(recipe: Model) -> str:
    """What to send, for hints."""
    forms = []
    tensor = recipe.tensor_input()
    if tensor is not None:
        forms.append(f'{{"input": [...]}} with {tensor.dtype} numbers of shape {tensor.shape}')
    if recipe.image_input() is not None:
        forms.append('the bytes of an image, or {"image": {"b64": "..."}}')
    return "send " + ", or ".join(forms)


def _unwrapped(body: bytes, recipe: Model, names: Set[str]) -> bytes:
    """The value that holds the items: under one of the names, or the body itself."""
    if body.lstrip()[:1] != b"{":
        return body
    if len(body) > json_numbers.SHORT and body.count(b":") > COLONS * recipe.max_items + COLONS:
        raise refusals.too_many_names(recipe.max_items)
    fields = _fields.decode(body)
    if fields.keys() == {"b64"}:
        return body
    if len(fields) != 1 or not fields.keys() & names:
        raise refusals.wrong_fields(fields, form(recipe))
    return bytes(next(iter(fields.values())))


def _value(value: bytes, recipe: Model) -> tuple[tuple[Item, ...], bool]:
    depth, first = depth_of(value)
    if first in (b'"', b"{") and depth <= 1:
        return _images(value, recipe, many=depth == 1)
    tensor = recipe.tensor_input()
    if tensor is None:
        raise refusals.no_arrays()
    return json_numbers.read(value, depth, tensor, recipe.max_items)


def _images(value: bytes, recipe: Model, *, many: bool) -> tuple[tuple[Item, ...], bool]:
    if recipe.image_input() is None:
        raise refusals.no_images(form(recipe))
    if not many:
        return (_decoded(_picture.decode(value)),), False
    items = tuple(_image(part, recipe) for part in parts(value, recipe.max_items))
    encoded.check_pixels(items, recipe)
    return items, True


def parts(value: bytes, most: int, commas: int = 0) -> list[bytes]:
    """Each element of a list of at most `most`; raises BadInput, or what UNREADABLE names.

    A data URL has a comma, base64 none, and numbers have `commas` of them: with more no list is built.
    """
    if len(value) > json_numbers.SHORT and value.count(b",") > 4 * most + commas:
        raise refusals.too_many(most)
    found = _pictures.decode(value)
    if len(found) > most:
        raise refusals.too_many(most)
    return [bytes(part) for part in found]


def _image(part: bytes, recipe: Model) -> Item:
    """One of a list of pictures."""
    try:
        return _decoded(_picture.decode(_unwrapped(part, recipe, FIELDS)))
    except BadInput as error:
        return error
    except msgspec.ValidationError as error:
        return unreadable(error, form(recipe))


def _decoded(picture: Picture) -> Item:
    return encoded.picture(picture if isinstance(picture, str) else picture.b64)
