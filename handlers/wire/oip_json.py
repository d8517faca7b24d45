"""The Open Inference Protocol over REST: POST /v2/models/NAME/infer.

JSON, behind which raw tensors may stand (the binary tensor data extension): the header
Inference-Header-Content-Length says where the JSON ends, `binary_data_size` how long each tensor is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from handlers.errors import BadInput, Refusal
from handlers.recipe import Model
from handlers.signature import TensorSpec
from handlers.wire import body, datatypes, encoded, json_body, json_numbers, oip, oip_answers, refusals, told
from handlers.wire.oip import Asked, Given, Wanted
from handlers.wire.oip_answers import Output
from handlers.wire.oip_document import InferenceRequest, Input, RequestedOutput
from handlers.wire.told import Told
from handlers.wire.types import Answered, Item, Outcome, Request, Response, Row

HEADER_LENGTH = "inference-header-content-length"

_SLACK = json_numbers.SHORT
"""Commas besides those of the data."""

SHAPE = 1000
"""Bytes of a shape, white space among them."""

_NOTHING = (b"", b"null")
"""What `data` are where there are none."""

_decoder = msgspec.json.Decoder(InferenceRequest)
_sizes = msgspec.json.Decoder(list[int])
_texts = msgspec.json.Decoder(list[str])


def read(row: Row, recipe: Model) -> Request:
    """The items of one row; raises BadInput when the request as a whole can't be read."""
    text, tail = _parted(row, body.of(row, oip.WANTED))
    _check_extent(text, recipe)
    try:
        asked = _decoder.decode(text)
        items = _items(asked.inputs, tail, recipe)
    except json_body.UNREADABLE as error:
        raise json_body.unreadable(error, oip.form(recipe)) from None
    binary = asked.parameters is not None and asked.parameters.binary_data_output
    outputs = [Wanted(one.name, _is_binary(one, binary)) for one in asked.outputs or ()]
    return oip.request(row, recipe, items, asked.id or "", outputs, binary)


def _parted(row: Row, content: bytes) -> tuple[bytes, memoryview]:
    """The JSON, and what stands behind it."""
    length = row.headers.get(HEADER_LENGTH)
    if length is None:
        return content, memoryview(b"")
    if not (length.isascii() and length.isdigit() and len(length) < 12 and int(length) <= len(content)):
        raise datatypes.bad_tensor(
            f"the header {HEADER_LENGTH} is {length[:40]!r}, the body has {len(content)} bytes",
            "give the length of the JSON that the body begins with",
        )
    return content[: int(length)], memoryview(content)[int(length) :]


def _check_extent(text: bytes, recipe: Model) -> None:
    """More commas than the largest request has are refused before anything is built of them."""
    tensor = recipe.tensor_input()
    shape = () if tensor is None else tensor.shape
    if len(text) > _SLACK and text.count(b",") > json_numbers.commas((recipe.max_items, *shape)) + _SLACK:
        raise refusals.too_many(recipe.max_items)


def _items(inputs: Sequence[Input], tail: memoryview, recipe: Model) -> tuple[Item, ...]:
    given = [Given(one.name, one.datatype, _shape(one, recipe)) for one in inputs]
    spec = oip.check(given, recipe)
    one, data = inputs[0], bytes(inputs[0].data)
    size = None if one.parameters is None else one.parameters.binary_data_size
    if size is not None and data not in _NOTHING:
        raise BadInput(
            f"the input {one.name!r} has both `data` and `binary_data_size`",
            code="ambiguous_form",
            hint="send its data in the JSON or behind it",
        )
    if (size or 0) != len(tail):
        raise datatypes.bad_tensor(
            f"{len(tail)} bytes follow the JSON, the input's binary_data_size is {size}",
            f"give the length of the JSON in the header {HEADER_LENGTH}, and that of the tensor",
        )
    if size is not None:
        return _raw(given[0], spec, tail, recipe)
    if data in _NOTHING:
        raise BadInput(f"the input {one.name!r} has no data", code="empty_body", hint="give them as `data`")
    return _listed(given[0], spec, data, recipe)


def _shape(one: Input, recipe: Model) -> tuple[int, ...]:
    """What is longer than any shape that can be meant isn't decoded."""
    text = bytes(one.shape)
    if len(text) > SHAPE:
        raise oip.bad_shape(f"{len(text)} bytes long", recipe)
    try:
        return oip.dimensions(_sizes.decode(text), recipe)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"the input's shape has another form: {error}"[:300], code="wrong_type", hint=oip.form(recipe)
        ) from None


def _raw(one: Given, spec: TensorSpec, tail: memoryview, recipe: Model) -> tuple[Item, ...]:
    if spec.datatype == "BYTES":
        return oip.images(datatypes.texts(tail, one.shape[0] if one.shape else 1), recipe)
    return oip.numbers(datatypes.numbers(tail, one.datatype, one.shape), recipe)


def _listed(one: Given, spec: TensorSpec, data: bytes, recipe: Model) -> tuple[Item, ...]:
    """Lists as the shape nests, or one of all values."""
    if spec.datatype == "BYTES":
        texts = _texts.decode(data)
        _check_count(one, len(texts))
        return oip.pictures([encoded.picture(text) for text in texts], recipe)
    depth, _ = json_body.depth_of(data)
    if depth not in (1, len(one.shape)) or not json_numbers.within(data, one.shape):
        raise _other_data(one, f"nested {depth} deep" if depth not in (1, len(one.shape)) else "larger")
    lists = json_numbers.decoder(depth, datatypes.kind(one.datatype)).decode(data)
    values = datatypes.listed(lists, one.datatype, one.shape)
    if values.ndim == 1:
        _check_count(one, len(values))
    elif values.shape != one.shape:
        raise _other_data(one, f"of shape {list(values.shape)}")
    return oip.numbers(values.reshape(one.shape), recipe)


def _check_count(one: Given, count: int) -> None:
    wanted = oip.count(one.shape)
    if count != wanted:
        raise _other_data(one, f"{count} values")


def _other_data(one: Given, got: str) -> BadInput:
    return BadInput(
        f"the input's data are {got}, its shape is {list(one.shape)}"[:200],
        code="wrong_shape",
        hint="send lists nested as the shape says, or one list of all values",
    )


def _is_binary(output: RequestedOutput, otherwise: bool) -> bool:
    said = None if output.parameters is None else output.parameters.binary_data
    return otherwise if said is None else said


def write(request: Request, outcomes: Sequence[Outcome]) -> Response:
    """The outputs, or one error that names the bad indices."""
    failed = told.failed(request, outcomes)
    if failed is not None:
        return _refusal(failed, request.request_id)
    asked = request.asked
    assert isinstance(asked, Asked)
    answered = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
    outputs = oip_answers.outputs(answered, [output.name for output in asked.outputs])
    binary = [output.binary for output in asked.outputs] or [asked.binary] * len(outputs)
    raw = [datatypes.packed(one.values) if own else None for one, own in zip(outputs, binary, strict=True)]
    head = {"id": asked.id} if asked.id else {}
    text = msgspec.json.encode(
        {
            "model_name": asked.model,
            "model_version": asked.version,
            **head,
            "outputs": [_output(one, own) for one, own in zip(outputs, raw, strict=True)],
        }
    )
    tail = [one for one in raw if one is not None]
    if not tail:
        return Response(200, text)
    headers = {HEADER_LENGTH: str(len(text))}
    return Response(200, b"".join([text, *tail]), "application/octet-stream", headers=headers)


def _output(output: Output, raw: bytes | None) -> dict[str, Any]:
    head = {"name": output.name, "datatype": output.datatype, "shape": list(output.values.shape)}
    if raw is not None:
        return {**head, "parameters": {"binary_data_size": len(raw)}}
    if output.datatype != "BYTES":
        return {**head, "data": output.values.ravel().tolist()}
    try:
        return {**head, "data": [text.decode() for text in datatypes.elements(output.values)]}
    except UnicodeDecodeError:
        raise BadInput(
            f"the output {output.name!r} is no text", code="wrong_type", hint="ask for it with binary_data"
        ) from None


def refuse(request_id: str, error: Refusal) -> Response:
    """The error body, whose `error` is a text."""
    return _refusal(told.of(error), request_id)


def _refusal(failed: Told, request_id: str) -> Response:
    return Response(failed.status, told.flat(failed, request_id), errors=failed.errors)
