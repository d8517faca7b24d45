"""The Open Inference Protocol over gRPC: a ModelInferRequest as the body, a ModelInferResponse as the answer.

The gateway takes the message out of its frame and makes of the headers `grpc-status` and `grpc-message` what
they are in gRPC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from google.protobuf.message import DecodeError

from handlers.answers import Array
from handlers.errors import BadInput, Refusal
from handlers.recipe import Model
from handlers.signature import TensorSpec
from handlers.wire import body, datatypes, oip, oip_answers, oip_fields, told
from handlers.wire.oip import Asked, Given, Wanted
from handlers.wire.oip_messages import ModelInferRequest, ModelInferResponse
from handlers.wire.told import Told
from handlers.wire.types import Answered, Item, Outcome, Request, Response, Row

CONTENT_TYPE = "application/x-protobuf"

STATUS = {400: 3, 404: 5, 413: 8, 415: 3, 429: 8, 503: 14, 504: 4}
"""gRPC's codes by HTTP status: INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE,
DEADLINE_EXCEEDED."""

_INVALID_ARGUMENT, _INTERNAL = 3, 13

LONGEST = 4000
"""Characters of grpc-message; clients take 8 kB of headers, all together, before they refuse them."""

_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
"""What gRPC's percent-encoding leaves as it is."""

_FIELDS = {
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "BOOL": "bool_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where InferTensorContents has the values of a datatype; FP16 has no place there."""


def read(row: Row, recipe: Model) -> Request:
    """The items of one row; raises BadInput when the request as a whole can't be read."""
    content = body.of(row, oip.WANTED)
    oip_fields.check(content, recipe)
    try:
        asked = ModelInferRequest.FromString(content)
    except DecodeError:
        raise oip_fields.unreadable() from None
    given = [Given(one.name, one.datatype, oip.dimensions(one.shape, recipe)) for one in asked.inputs]
    spec = oip.check(given, recipe)
    items = _items(asked, spec, recipe)
    outputs = [Wanted(one.name, binary=True) for one in asked.outputs]
    return oip.request(row, recipe, items, asked.id, outputs, True)


def _items(asked: Any, spec: TensorSpec, recipe: Model) -> tuple[Item, ...]:
    one, raw = asked.inputs[0], asked.raw_input_contents
    typed = [field.name for field, _ in one.contents.ListFields()]
    if raw and typed:
        raise BadInput(
            f"the input {one.name!r} has both `contents` and `raw_input_contents`",
            code="ambiguous_form",
            hint="send one of them",
        )
    if len(raw) > 1:
        raise datatypes.bad_tensor(
            f"raw_input_contents has {len(raw)} elements, the request one input", "send one for each input"
        )
    if not raw and not typed:
        raise BadInput(
            f"the input {one.name!r} has no data", code="empty_body", hint="give them in raw_input_contents"
        )
    shape = tuple(one.shape)
    if spec.datatype == "BYTES":
        texts = datatypes.texts(raw[0], oip.count(shape)) if raw else _typed(one, typed, shape)
        return oip.images(list(texts), recipe)
    values = datatypes.numbers(raw[0], one.datatype, shape) if raw else _numbers(one, typed, shape)
    return oip.numbers(values, recipe)


def _numbers(one: Any, typed: Sequence[str], shape: tuple[int, ...]) -> Array:
    return datatypes.listed(list(_typed(one, typed, shape)), one.datatype, shape).reshape(shape)


def _typed(one: Any, typed: Sequence[str], shape: tuple[int, ...]) -> Sequence[Any]:
    """The values, of which there are as many as the shape has; raises BadInput."""
    wanted = _FIELDS.get(one.datatype)
    if list(typed) != [wanted]:
        raise BadInput(
            f"the input {one.name!r} is of {one.datatype}, its contents are {', '.join(typed)}",
            code="wrong_type",
            hint=f"send {wanted or 'it in raw_input_contents'}",
        )
    values: Sequence[Any] = getattr(one.contents, str(wanted))
    if len(values) != oip.count(shape):
        raise BadInput(
            f"the input's contents are {len(values)} values, its shape is {list(shape)}",
            code="wrong_shape",
            hint="send one list of all values",
        )
    return values


def write(request: Request, outcomes: Sequence[Outcome]) -> Response:
    """The outputs, all of them raw, or one error that names the bad indices."""
    failed = told.failed(request, outcomes)
    if failed is not None:
        return _refusal(failed, request.request_id)
    asked = request.asked
    assert isinstance(asked, Asked)
    answered = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
    response = ModelInferResponse(model_name=asked.model, model_version=asked.version, id=asked.id)
    for output in oip_answers.outputs(answered, [output.name for output in asked.outputs]):
        response.outputs.add(name=output.name, datatype=output.datatype, shape=output.values.shape)
        response.raw_output_contents.append(datatypes.packed(output.values))
    return Response(200, response.SerializeToString(), CONTENT_TYPE)


def refuse(request_id: str, error: Refusal) -> Response:
    """Headers alone, as gRPC has an error."""
    return _refusal(told.of(error), request_id)


def _refusal(failed: Told, request_id: str) -> Response:
    status = STATUS.get(failed.status, _INVALID_ARGUMENT if failed.status < 500 else _INTERNAL)
    headers = {"grpc-status": str(status), "grpc-message": _message(failed, request_id)}
    return Response(failed.status, b"", CONTENT_TYPE, failed.errors, headers)


def _message(failed: Told, request_id: str) -> str:
    """Our own error body, percent-encoded, with as many of its items as there is room for."""
    encoded = _encoded(failed, request_id)
    while len(encoded) > LONGEST and failed.items:
        failed = msgspec.structs.replace(failed, items=failed.items[: len(failed.items) // 2])
        encoded = _encoded(failed, request_id)
    return encoded


def _encoded(failed: Told, request_id: str) -> str:
    return quote(told.nested(failed, request_id), safe=_PLAIN)
