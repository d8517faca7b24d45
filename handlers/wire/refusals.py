"""Refusals that several forms of input share."""

from __future__ import annotations

from handlers.errors import BadInput
from handlers.recipe import TensorInput

MOST_ITEMS = 1024
"""Items in one request; more would hold the worker too long for its neighbours."""


def too_many() -> BadInput:
    return BadInput(
        f"the request has more than {MOST_ITEMS} items",
        code="too_many_items",
        hint=f"send at most {MOST_ITEMS} at a time",
        status=413,
    )


def wrong_shape(declared: TensorInput, got: str) -> BadInput:
    return BadInput(
        f"the input's shape is {got}"[:200],
        code="wrong_shape",
        hint=f"one item has the shape {declared.shape}; send one, or a list of them",
    )


def no_images(hint: str) -> BadInput:
    return BadInput("this model takes numbers, not strings or images", code="wrong_kind", hint=hint)


def no_arrays() -> BadInput:
    return BadInput(
        "this model takes images, and the body is none",
        code="wrong_kind",
        hint='send the bytes of a JPEG, PNG or WebP file, or {"image": {"b64": "..."}}',
    )
