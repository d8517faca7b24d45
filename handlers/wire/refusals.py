"""Refusals that several forms of input share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

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


def too_many_names(most: int) -> BadInput:
    return BadInput(
        f"the JSON has more names than {most} items have",
        code="too_many_items",
        hint=f"send at most {most} at a time, under one name",
        status=413,
    )


def wrong_fields(fields: Iterable[str], hint: str) -> BadInput:
    names = ", ".join(repr(field[:100]) for field in islice(fields, 5)) or "none"
    shown = names.encode("utf-8", "replace").decode()[:200]
    return BadInput(f"the JSON object has the fields: {shown}", code="wrong_field", hint=hint)


def unfitting(datatype: str) -> BadInput:
    return BadInput(
        f"a number doesn't fit {datatype}", code="not_finite", hint=f"send numbers that {datatype} can hold"
    )


def list_in_list() -> BadInput:
    return BadInput("an item of the list is a list of items", code="wrong_shape", hint="send one list")


def no_images(hint: str) -> BadInput:
    return BadInput("this model takes numbers, not strings or images", code="wrong_kind", hint=hint)


def no_arrays() -> BadInput:
    return BadInput(
        "this model takes images, and the body is none",
        code="wrong_kind",
        hint='send the bytes of a JPEG, PNG or WebP file, or {"image": {"b64": "..."}}',
    )
