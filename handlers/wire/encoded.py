"""Pictures that came as text in JSON, or many in one request -> items."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from handlers import pictures
from handlers.errors import BadInput
from handlers.recipe import Model
from handlers.wire.types import EncodedImage, Item

_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


def picture(text: str) -> Item:
    """Base64 or a data URL -> the picture's bytes, or what is wrong with it, for this item alone."""
    found = _DATA_URL.match(text)
    try:
        encoded = "".join(text[found.end() if found else 0 :].split()).encode("ascii")
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return BadInput(
            "the text is no valid base64", code="bad_base64", hint="encode the image file's bytes as base64"
        )
    return image(content, "encode the image file's bytes as base64")


def image(content: bytes, hint: str) -> Item:
    """A picture's bytes as they are; of none, that."""
    if not content:
        return BadInput("the image is empty", code="empty_body", hint=hint)
    return EncodedImage(content)


def check_pixels(items: Sequence[Item], recipe: Model) -> None:
    """All pictures of a request together stay within the limit for one: neighbours wait for them."""
    declared = recipe.image_input()
    if declared is not None:
        total = sum(
            pictures.pixels(item.content, declared) for item in items if isinstance(item, EncodedImage)
        )
        if total > declared.max_megapixels * 1e6:
            raise pictures.too_large(f"{total}", declared)
