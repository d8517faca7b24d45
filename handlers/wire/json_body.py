"""A JSON body -> items: {"input": [...]}, a bare array, or {"image": {"b64": "..."}}.

Pictures are read here, numbers by json_numbers.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec
from msgspec import Raw, Struct

from handlers import pictures
from handlers.errors import BadInput
from handlers.recipe import Model
from handlers.wire import json_numbers, refusals
from handlers.wire.types import EncodedImage, Item

_OPENING = re.compile(rb"(?:\s*\[){0,9}")  # deeper than any declared shape goes
_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


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
        return _value(_unwrapped(body, recipe), recipe)
    except RecursionError:
        raise BadInput("the JSON is nested too deeply", code="bad_json", hint=form(recipe)) from None
    except msgspec.ValidationError as error:
        raise _other_form(error, recipe) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(
            f"the body is no valid JSON: {error}"[:300], code="bad_json", hint=form(recipe)
        ) from None


def _other_form(error: msgspec.ValidationError, recipe: Model) -> BadInput:
    return BadInput(f"the JSON has another form: {error}"[:300], code="wrong_type", hint=form(recipe))


def form(recipe: Model) -> str:
    """What to send, for hints."""
    forms = []
    tensor = recipe.tensor_input()
    if tensor is not None:
        forms.append(f'{{"input": [...]}} with {tensor.dtype} numbers of shape {tensor.shape}')
    if recipe.image_input() is not None:
        forms.append('the bytes of an image, or {"image": {"b64": "..."}}')
    return "send " + ", or ".join(forms)


def _unwrapped(body: bytes, recipe: Model) -> bytes:
    """The value that holds the items: under "input" or "image", or the body itself."""
    if body.lstrip()[:1] != b"{":
        return body
    fields = _fields.decode(body)
    if fields.keys() == {"b64"}:
        return body
    if len(fields) != 1 or not fields.keys() & {"input", "image"}:
        names = ", ".join(map(repr, list(fields)[:5])) or "none"
        shown = names.encode("utf-8", "replace").decode()[:200]
        raise BadInput(f"the JSON object has the fields: {shown}", code="wrong_field", hint=form(recipe))
    return bytes(next(iter(fields.values())))


def _value(value: bytes, recipe: Model) -> tuple[tuple[Item, ...], bool]:
    opening = _OPENING.match(value)
    depth = opening.group().count(b"[") if opening else 0
    first = value[opening.end() if opening else 0 :].lstrip()[:1]
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
    parts = _pictures.decode(value)
    if len(parts) > recipe.max_items:
        raise refusals.too_many(recipe.max_items)
    items = tuple(_image(bytes(part), recipe) for part in parts)
    _check_pixels(items, recipe)
    return items, True


def _check_pixels(items: tuple[Item, ...], recipe: Model) -> None:
    """All pictures of a request together stay within the limit for one: neighbours wait for them."""
    image = recipe.image_input()
    if image is not None:
        total = sum(pictures.pixels(item.content, image) for item in items if isinstance(item, EncodedImage))
        if total > image.max_megapixels * 1e6:
            raise pictures.too_large(f"{total}", image)


def _image(part: bytes, recipe: Model) -> Item:
    """One of a list, in any form that it may have alone; what is wrong with it is its own error."""
    try:
        return _decoded(_picture.decode(_unwrapped(part, recipe)))
    except BadInput as error:
        return error
    except msgspec.ValidationError as error:
        return _other_form(error, recipe)


def _decoded(picture: Picture) -> Item:
    """The picture's bytes, or what is wrong with its base64, for this item alone."""
    text = picture if isinstance(picture, str) else picture.b64
    found = _DATA_URL.match(text)
    try:
        encoded = "".join(text[found.end() if found else 0 :].split()).encode("ascii")
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return BadInput(
            "the text is no valid base64", code="bad_base64", hint="encode the image file's bytes as base64"
        )
    if not content:
        return BadInput(
            "the image is empty", code="empty_body", hint="encode the image file's bytes as base64"
        )
    return EncodedImage(content)
