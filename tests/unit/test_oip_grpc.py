"""The Open Inference Protocol over gRPC: messages become items, outcomes a message or headers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import wire
from handlers.answers import Regression
from handlers.blame import guarded
from handlers.errors import BadInput, ForwardFailed, OutOfMemory, Refusal
from handlers.recipe import ImageInput, Model, TensorInput
from handlers.wire import PROTOCOL, Answered, EncodedImage, Numbers, Request, Response, Row, datatypes
from handlers.wire.oip_messages import ModelInferRequest, ModelInferResponse
from tests import foreign_bytes

FUZZ = settings(max_examples=150, deadline=None, database=None)


def model(*inputs: ImageInput | TensorInput) -> Model:
    return Model("m", "1.2", "tensor", "weights.pth", list(inputs), max_items=64)


VECTOR = model(TensorInput([2]))
WHOLE = model(TensorInput([2], dtype="int64"))
PICTURES = model(ImageInput())


def row(body: bytes) -> Row:
    return Row(
        {"body": bytearray(body)}, {PROTOCOL: "oip_grpc", "content-type": "application/x-protobuf"}, "id-1"
    )


def read(body: bytes, declared: Model) -> Request:
    return wire.read(row(body), declared)


def refused(body: bytes, declared: Model) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(body, declared)
    return caught.value


def values(request: Request) -> list[object]:
    items = [item for item in request.items if isinstance(item, Numbers)]
    assert len(items) == len(request.items)
    return [item.values.tolist() for item in items]


def message(
    shape: tuple[int, ...] = (2,),
    raw: tuple[bytes, ...] = (),
    name: str = "input",
    datatype: str = "FP32",
    **contents: Any,
) -> bytes:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "contents": contents}
    sent: bytes = ModelInferRequest(
        model_name="m", inputs=[tensor], raw_input_contents=raw
    ).SerializeToString()
    return sent


@pytest.mark.parametrize(
    ("body", "declared", "wanted"),
    [
        (foreign_bytes.GRPC_FLOATS, VECTOR, [[1, 2], [3, 4.5]]),
        (foreign_bytes.GRPC_HALVES, VECTOR, [[1, 2], [3, 4.5]]),
        (foreign_bytes.GRPC_NAMED, VECTOR, [[1, 2]]),
        (foreign_bytes.GRPC_INT64, WHOLE, [[1, -2]]),
    ],
)
def test_what_tritonclient_sends_is_read(body: bytes, declared: Model, wanted: list[object]) -> None:
    assert values(read(body, declared)) == wanted


def test_pictures_of_tritonclient_are_items() -> None:
    first, second, third = read(foreign_bytes.GRPC_PICTURES, PICTURES).items
    assert (first, third) == (EncodedImage(b"abc"), EncodedImage(b"\x00\xff"))
    assert isinstance(second, BadInput)


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("BOOL", "bool_contents"),
        ("INT8", "int_contents"),
        ("INT16", "int_contents"),
        ("INT32", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT8", "uint_contents"),
        ("UINT16", "uint_contents"),
        ("UINT32", "uint_contents"),
        ("UINT64", "uint64_contents"),
        ("FP32", "fp32_contents"),
        ("FP64", "fp64_contents"),
    ],
)
def test_typed_contents_have_a_field_for_each_datatype(datatype: str, field: str) -> None:
    contents: dict[str, Any] = {field: [0, 1, 1, 0]}
    assert values(read(message((2, 2), datatype=datatype, **contents), VECTOR)) == [[0, 1], [1, 0]]
    other: dict[str, Any] = {"bytes_contents": [b"a", b"b"]}
    assert refused(message(datatype=datatype, **other), VECTOR).code == "wrong_type"


def test_pictures_come_typed_as_well() -> None:
    body = message((2,), name="image", datatype="BYTES", bytes_contents=[b"a", b"b"])
    assert read(body, PICTURES).items == (EncodedImage(b"a"), EncodedImage(b"b"))


EIGHT = b"\0" * 8


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b"\xff", "bad_input", "no ModelInferRequest"),
        (b"\x0a\x05ab", "bad_input", "no ModelInferRequest"),
        (b"\x0a\x01\xff", "bad_input", "no ModelInferRequest"),
        (b"\x2a\x02\x0b\x0c", "bad_input", "no ModelInferRequest"),
        (b"\x0a\x01m", "empty_body", "no inputs"),
        (message(), "empty_body", "no data"),
        (message(raw=(EIGHT, EIGHT)), "bad_tensor", "2 elements"),
        (message(raw=(EIGHT,), fp32_contents=[1, 2]), "ambiguous_form", "both"),
        (message(raw=(EIGHT + b"\0",)), "bad_tensor", "9 bytes"),
        (message(raw=(b"",)), "bad_tensor", "0 bytes"),
        (message((2**40, 2), (EIGHT,)), "too_many_items", "64 items"),
        (message((-1, 2), (EIGHT,)), "wrong_shape", "[-1, 2]"),
        (message((3,), (EIGHT,)), "wrong_shape", "[3]"),
        (message(raw=(EIGHT,), name="x"), "wrong_field", "'x'"),
        (message(raw=(EIGHT,), datatype="BYTES"), "wrong_type", "'BYTES'"),
        (message(fp32_contents=[1]), "wrong_shape", "1 values"),
        (message(fp32_contents=[1, 2], fp64_contents=[1, 2]), "wrong_type", "fp64_contents"),
        (message(datatype="INT8", int_contents=[1, 300]), "not_finite", "doesn't fit INT8"),
        (message(datatype="UINT8", uint_contents=[1, 300]), "not_finite", "doesn't fit UINT8"),
        (message((1,) * 17, (EIGHT,)), "wrong_shape", "[1, 1, 1, 1, ...] of 17 dimensions"),
        (message((1,) * 201, (EIGHT,)), "wrong_shape", "201 bytes long"),
        (message(int64_contents=[1] * 2281, datatype="INT64"), "too_many_items", "64 items"),
        (message(raw=(EIGHT,), name="x" * 9000), "wrong_field", "'xxx"),
        (message(datatype="FP16", fp32_contents=[1, 2]), "wrong_type", "FP16"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, code: str, named: str) -> None:
    error = refused(body, VECTOR)
    assert (error.code, named in error.message) == (code, True), error.message


@pytest.mark.parametrize(
    "body",
    [
        b"\x2a\x00" * 100_000,
        b"\x22\x00" * 100_000,
        b"\x32\x00" * 100_000,
        b"\x2a\x84\x80\x08" + b"\x22\x00" * 65_538,
        message(bytes_contents=[b""] * 100_000),
        message(fp32_contents=[0] * 100_000),
    ],
)
def test_far_more_than_a_request_can_have_is_refused(body: bytes) -> None:
    assert refused(body, VECTOR).code in ("too_many_items", "wrong_shape", "wrong_type")


def test_a_shape_of_one_field_each_is_counted_too() -> None:
    """As encoders of proto2 write it: no field is long."""
    unpacked = b"\x0a\x05input\x12\x04FP32" + b"\x18\x01" * 17
    error = refused(b"\x2a" + bytes([len(unpacked)]) + unpacked, VECTOR)
    assert (error.code, "17 dimensions" in error.message) == ("wrong_shape", True)


def test_contents_in_many_pieces_are_counted_together() -> None:
    """Pieces of one packed field are joined."""
    piece = b"\x1a\x64" + b"\x01" * 100
    assert len(ModelInferRequest.FromString(tensor_of(piece * 2)).inputs[0].contents.int64_contents) == 200
    assert refused(tensor_of(piece * 22), VECTOR).code == "wrong_shape"
    assert refused(tensor_of(piece * 24), VECTOR).code == "too_many_items"


def tensor_of(contents: bytes) -> bytes:
    """A request whose only input has these contents, of INT64."""
    head = ModelInferRequest.InferInputTensor(name="input", datatype="INT64", shape=(2,)).SerializeToString()
    tensor = head + b"\x2a" + varint(len(contents)) + contents
    return b"\x2a" + varint(len(tensor)) + tensor


def varint(number: int) -> bytes:
    """Of less than 2**14."""
    return bytes([number & 0x7F | 0x80, number >> 7])


def test_as_many_numbers_as_a_request_can_have_pass_in_their_longest_form() -> None:
    body = message((64, 2), datatype="INT64", int64_contents=[-1] * 128)
    assert values(read(body, WHOLE)) == [[-1, -1]] * 64
    large = model(TensorInput([5000]))
    found = values(read(message((64, 5000), datatype="INT64", int64_contents=[-1] * 320_000), large))
    assert found == [[-1] * 5000] * 64


def answered(*numbers: float) -> Answered:
    return Answered(Regression(list(numbers)), b"{}", torch.tensor(numbers, dtype=torch.float32) * 2)


def wanting(count: int = 1, outputs: tuple[str, ...] = ()) -> Request:
    tensor = {"name": "input", "datatype": "FP32", "shape": (count, 2)}
    sent = ModelInferRequest(id="r-7", inputs=[tensor], raw_input_contents=[EIGHT * count])
    for name in outputs:
        sent.outputs.add(name=name)
    return read(sent.SerializeToString(), VECTOR)


def test_outputs_are_raw_and_in_the_order_asked_for() -> None:
    response = wire.write(wanting(2, ("raw", "values")), [answered(1.5, 2), answered(3, 4)])
    assert (response.status, response.content_type, response.headers) == (200, "application/x-protobuf", {})
    told = ModelInferResponse.FromString(response.body)
    assert (told.model_name, told.model_version, told.id) == ("m", "1.2", "r-7")
    assert [(one.name, one.datatype, list(one.shape)) for one in told.outputs] == [
        ("raw", "FP32", [2, 2]),
        ("values", "FP32", [2, 2]),
    ]
    assert [np.frombuffer(raw, "<f4").tolist() for raw in told.raw_output_contents] == [
        [3, 4, 6, 8],
        [1.5, 2, 3, 4],
    ]


def error_of(response: Response) -> dict[str, Any]:
    assert (response.body, response.content_type) == (b"", "application/x-protobuf")
    message = response.headers["grpc-message"]
    assert message.isascii()
    assert message.isprintable()
    assert len(message) <= 8000
    told = json.loads(unquote(message))
    assert told["request_id"] == "id-1"
    error: dict[str, Any] = told["error"]
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadInput("a", status=400), "3"),
        (BadInput("a", status=404), "5"),
        (BadInput("a", status=413), "8"),
        (BadInput("a", status=415), "3"),
        (BadInput("a", status=422), "3"),
        (BadInput("a", status=429), "8"),
        (OutOfMemory("a"), "14"),
        (ForwardFailed("a", status=504), "4"),
        (ForwardFailed("a"), "13"),
    ],
)
def test_errors_are_headers_with_grpcs_own_status(error: Refusal, status: str) -> None:
    for response in (wire.refuse(row(b""), error), wire.write(wanting(), [error])):
        assert (response.status, response.headers["grpc-status"]) == (error.status, status)
        error_of(response)


def test_a_message_is_percent_encoded() -> None:
    response = wire.refuse(row(b""), BadInput("100 % ü\n\x7f \ud800", hint="do"))
    assert "100 %25 %C3%BC" in response.headers["grpc-message"]
    assert error_of(response)["message"] == "100 % ü\n\x7f ?"


def test_bad_items_are_named_as_far_as_there_is_room() -> None:
    few = error_of(wire.write(wanting(3), [BadInput("ü" * 50), answered(1, 2), answered(1, 2)]))
    assert (few["code"], [item["index"] for item in few["items"]]) == ("bad_items", [0])
    many = wire.write(wanting(64), [BadInput("ü" * 100, hint="ü" * 100)] * 64)
    assert (many.status, many.headers["grpc-status"]) == (400, "3")
    told = error_of(many)
    assert told["message"].startswith("64 of 64 items failed: 0, 1, 2")
    assert [item["index"] for item in told["items"]] == list(range(len(told["items"])))
    assert 0 < len(told["items"]) < 64


def read_or_refused(body: bytes, declared: Model) -> None:
    found = guarded(lambda: read(body, declared))
    if isinstance(found, Refusal):
        assert 400 <= found.status < 500
        assert error_of(wire.refuse(row(body), found))["code"] == found.code
    else:
        assert 0 < len(found.items) <= declared.max_items


DECLARED = st.sampled_from([VECTOR, WHOLE, PICTURES])


@FUZZ
@given(body=st.binary(max_size=60), declared=DECLARED)
def test_any_bytes_are_read_or_refused(body: bytes, declared: Model) -> None:
    read_or_refused(body, declared)


@FUZZ
@given(
    seed=st.sampled_from([foreign_bytes.GRPC_FLOATS, foreign_bytes.GRPC_NAMED, foreign_bytes.GRPC_PICTURES]),
    changes=st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=2)), max_size=3),
    cut=st.integers(0, 10),
    declared=DECLARED,
)
def test_mutated_messages_are_read_or_refused(
    seed: bytes, changes: list[tuple[int, bytes]], cut: int, declared: Model
) -> None:
    body = bytearray(seed)
    for place, change in changes:
        body[place : place + len(change)] = change
    read_or_refused(bytes(body[: len(body) - cut]), declared)


@FUZZ
@given(
    rows=st.lists(
        st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=9
    )
)
def test_floats_are_the_same_raw_and_typed(rows: list[list[float]]) -> None:
    array = np.array(rows, np.float32)
    for body in (
        message(array.shape, (datatypes.packed(array),)),
        message(array.shape, fp32_contents=array.ravel().tolist()),
    ):
        found = np.stack([item.values for item in read(body, VECTOR).items if isinstance(item, Numbers)])
        assert found.tobytes() == array.tobytes()
