"""The Open Inference Protocol, version 2: what REST and gRPC share of a request.

A request has one named input, whose first dimension is that of the items; one item may come without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from handlers import signature
from handlers.answers import Array
from handlers.errors import BadInput
from handlers.recipe import Model
from handlers.signature import TensorSpec
from handlers.wire import array, datatypes, encoded, refusals
from handlers.wire.types import Item, Request, Row

WANTED = "send an inference request of the Open Inference Protocol, version 2"

MOST_DIMENSIONS = 16
"""Of a shape that is looked at; none that is declared has so many."""

_INT64_MOST = np.iinfo(np.int64).max


class Given(Struct, frozen=True):
    """What a request says of an input, before its data are touched."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Wanted(Struct, frozen=True):
    """An output that was asked for by name."""

    name: str
    binary: bool = False


class Asked(Struct, frozen=True):
    """What the response repeats, and the outputs that it is to have: none named, all of them."""

    model: str
    version: str
    id: str = ""
    outputs: tuple[Wanted, ...] = ()
    binary: bool = False
    """Whether outputs that weren't named are raw."""


def request(
    row: Row, recipe: Model, items: tuple[Item, ...], id: str, outputs: Sequence[Wanted], binary: bool
) -> Request:
    """What both have read. A request of one item fails as that item does."""
    if len({output.name for output in outputs}) < len(outputs):
        raise BadInput("an output is asked for twice", code="ambiguous_form", hint="name each once")
    asked = Asked(recipe.name, recipe.version, id, tuple(outputs), binary)
    return Request(items, len(items) > 1, row.request_id, asked=asked)


def check(given: Sequence[Given], recipe: Model) -> TensorSpec:
    """The input that is there; raises BadInput unless it is just one, and one that the model takes."""
    specs = {spec.name: spec for spec in signature.inputs(recipe)}
    for one in given:
        if one.name not in specs:
            raise BadInput(
                f"the model has no input {one.name[:100]!r}", code="wrong_field", hint=form(recipe)
            )
    if not given:
        raise BadInput("the request has no inputs", code="empty_body", hint=form(recipe))
    if len(given) > 1:
        names = ", ".join(repr(one.name) for one in given[:5])  # each a name that the model has
        raise BadInput(
            f"the request has {len(given)} inputs: {names}", code="ambiguous_form", hint="send just one"
        )
    spec, one = specs[given[0].name], given[0]
    if one.datatype not in _accepted(spec):
        raise BadInput(
            f"the input {one.name!r} has the datatype {one.datatype[:100]!r}",
            code="wrong_type",
            hint=form(recipe),
        )
    _check_shape(one, spec, recipe)
    return spec


def _accepted(spec: TensorSpec) -> frozenset[str]:
    """Datatypes whose values are taken for the declared one's; for FP32 all are rounded to it, as JSON is."""
    if spec.datatype == "BYTES":
        return frozenset({"BYTES"})
    if spec.datatype == "INT64":
        return datatypes.INTEGERS | {"BOOL"}
    return frozenset(datatypes.NUMBERS)


def _check_shape(one: Given, spec: TensorSpec, recipe: Model) -> None:
    item = spec.shape[1:]
    if one.shape == item:
        return
    if len(one.shape) != len(spec.shape) or one.shape[1:] != item or one.shape[0] < 0:
        raise BadInput(
            f"the input {one.name!r} has the shape {list(one.shape)}"[:200],
            code="wrong_shape",
            hint=form(recipe),
        )
    if one.shape[0] == 0:
        raise BadInput("the list of items is empty", code="empty_body", hint="send at least one")
    if one.shape[0] > recipe.max_items:
        raise refusals.too_many(recipe.max_items)


def dimensions(sizes: Sequence[int], recipe: Model) -> tuple[int, ...]:
    """A shape as it was sent; raises BadInput for one of more dimensions than are looked at."""
    if len(sizes) > MOST_DIMENSIONS:
        first = ", ".join(map(str, sizes[:4]))
        raise bad_shape(f"[{first}, ...] of {len(sizes)} dimensions"[:200], recipe)
    return tuple(sizes)


def bad_shape(got: str, recipe: Model) -> BadInput:
    return BadInput(f"the input's shape is {got}", code="wrong_shape", hint=form(recipe))


def form(recipe: Model) -> str:
    """What to send, for hints."""
    forms = [
        f"{spec.name!r} as {spec.datatype} of shape {list(spec.shape)}" for spec in signature.inputs(recipe)
    ]
    return f"send {' or '.join(forms)}, where -1 is the number of items"


def numbers_of_one(recipe: Model) -> int:
    """Of one item, in numbers: none where the model takes pictures only."""
    declared = recipe.tensor_input()
    return 0 if declared is None else math.prod(declared.shape)


def count(shape: Sequence[int]) -> int:
    """Of values, in a shape that `check` has let pass: no more than the recipe's items have."""
    return math.prod(shape)


def numbers(values: Array, recipe: Model) -> tuple[Item, ...]:
    """Items of numbers, whose shape `check` has let pass; raises BadInput."""
    declared = recipe.tensor_input()
    if declared is None:
        raise refusals.no_arrays()
    if declared.dtype == "int64" and values.dtype.kind == "u" and int(values.max()) > _INT64_MOST:
        raise refusals.unfitting("int64")
    items, _ = array.split(values, declared, recipe.max_items)
    return items


def images(contents: Sequence[bytes], recipe: Model) -> tuple[Item, ...]:
    """An item for each picture's bytes; raises BadInput when all together are too large."""
    return pictures([encoded.image(content, "send the image file's bytes") for content in contents], recipe)


def pictures(items: Sequence[Item], recipe: Model) -> tuple[Item, ...]:
    """The same of pictures that were read already."""
    if len(items) > 1:
        encoded.check_pixels(items, recipe)
    return tuple(items)
