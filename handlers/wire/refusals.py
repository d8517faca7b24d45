"""Refusals that several forms of input share."""

from __future__ import annotations

from handlers.errors import BadInput
from handlers.recipe import TensorInput


def too_many(most: int) -> BadInput:
    return BadInput(
        f"the request has more than {most} items",
        code="too_many_items",
        hint=f"send at most {most} at a time",
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
