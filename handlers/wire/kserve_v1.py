"""KServe's first protocol: POST /v1/models/NAME:predict, {"instances": [...]} -> {"predictions": [...]}.

An instance is an item in any form that it may have in JSON alone: numbers, {"input": ...}, base64,
{"b64": ...}, {"image": ...}. A prediction is the item's answer.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Raw, Struct

from handlers.errors import BadInput, Refusal
from handlers.recipe import Model, TensorInput
from handlers.wire import array, body, encoded, json_body, json_numbers, refusals, told
from handlers.wire.told import Told
from handlers.wire.types import Answered, Item, Outcome, Request, Response, Row

WANTED = 'send {"instances": [...]}'

FIELDS = json_body.FIELDS | {"image_bytes"}
"""Of an instance; the last is what TensorFlow's examples call a picture."""


class PredictRequest(Struct, frozen=True):
    """The body; fields that are none of these are ignored."""

    instances: Raw = Raw()


_decoder = msgspec.json.Decoder(PredictRequest)


def read(row: Row, recipe: Model) -> Request:
    """The items of one row; raises BadInput when the request as a whole can't be read."""
    content = body.of(row, WANTED).removeprefix(codecs.BOM_UTF8)
    try:
        items = _items(_instances(content, recipe), recipe)
    except json_body.UNREADABLE as error:
        raise json_body.unreadable(error, form(recipe)) from None
    if not items:
        raise BadInput("the list of instances is empty", code="empty_body", hint="send at least one")
    if len(items) > 1:
        encoded.check_pixels(items, recipe)
    return Request(items, len(items) > 1, row.request_id)


def form(recipe: Model) -> str:
    """What to send, for hints."""
    return f"{WANTED}; for each, {json_body.form(recipe)}"


def _instances(content: bytes, recipe: Model) -> bytes:
    instances = bytes(_decoder.decode(content).instances)
    if not instances:
        raise BadInput("the JSON object has no `instances`", code="wrong_field", hint=form(recipe))
    return instances


def _items(instances: bytes, recipe: Model) -> tuple[Item, ...]:
    """Numbers all at once, which is fast; where they aren't numbers only, one by one."""
    tensor = recipe.tensor_input()
    depth, _ = json_body.depth_of(instances)
    if tensor is not None and depth == len(tensor.shape) + 1:
        try:
            return json_numbers.read(instances, depth, tensor, recipe.max_items)[0]
        except msgspec.ValidationError:
            pass  # one of them is something else, and told by its index
    elif tensor is not None and tensor.shape == [1] and depth == 1:
        try:
            return _scalars(instances, tensor, recipe.max_items)
        except msgspec.ValidationError:
            pass
    shape = () if tensor is None else tensor.shape
    parts = json_body.parts(instances, recipe.max_items, json_numbers.commas((recipe.max_items, *shape)))
    return tuple(_instance(part, tensor, recipe) for part in parts)


def _instance(part: bytes, declared: TensorInput | None, recipe: Model) -> Item:
    if declared is not None and declared.shape == [1] and part[:1] not in b'[{"':
        part = b"[" + part + b"]"  # the only number of its item
    return json_body.one(part, recipe, FIELDS)


def _scalars(instances: bytes, declared: TensorInput, most: int) -> tuple[Item, ...]:
    """A list of numbers, for a model that takes one."""
    if not json_numbers.within(instances, (most,)):
        raise refusals.too_many(most)
    kind = int if declared.dtype == "int64" else float
    lists = json_numbers.decoder(1, kind).decode(instances)
    values = json_numbers.as_array(lists, np.dtype(kind), declared.dtype, declared.shape)
    return array.split(values[:, None], declared, most)[0]


def write(request: Request, outcomes: Sequence[Outcome]) -> Response:
    """The predictions, or one error that names the bad indices."""
    failed = told.failed(request, outcomes)
    if failed is not None:
        return _refusal(failed, request.request_id)
    predictions = b",".join(outcome.encoded for outcome in outcomes if isinstance(outcome, Answered))
    return Response(200, b'{"predictions":[' + predictions + b"]}")


def refuse(request_id: str, error: Refusal) -> Response:
    """The error body, whose `error` is a text."""
    return _refusal(told.of(error), request_id)


def _refusal(failed: Told, request_id: str) -> Response:
    return Response(failed.status, told.flat(failed, request_id), errors=failed.errors)
