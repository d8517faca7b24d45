"""The Open Inference Protocol over REST: bodies become items or a refusal, outcomes become named tensors."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import wire
from handlers.answers import Answer, Array, Classification, Prediction, Regression, Values
from handlers.blame import guarded
from handlers.errors import BadInput, ForwardFailed, Refusal
from handlers.recipe import ImageInput, Model, TensorInput
from handlers.wire import PROTOCOL, Answered, EncodedImage, Numbers, Request, Response, Row, datatypes
from tests import foreign_bytes
from tests.bad_inputs import picture

FUZZ = settings(max_examples=150, deadline=None, database=None)
PNG = picture("PNG")


def model(*inputs: ImageInput | TensorInput) -> Model:
    return Model("m", "1.2", "tensor", "weights.pth", list(inputs), max_items=64)


VECTOR = model(TensorInput([2]))
WHOLE = model(TensorInput([2], dtype="int64"))
MATRIX = model(TensorInput([2, 3]))
PICTURES = model(ImageInput())
BOTH = model(ImageInput(), TensorInput([2]))


def row(body: bytes, length: str | None = None) -> Row:
    headers = (
        {PROTOCOL: "oip"} if length is None else {PROTOCOL: "oip", "inference-header-content-length": length}
    )
    return Row({"body": bytearray(body)}, headers, "id-1")


def read(body: bytes, declared: Model, length: str | None = None) -> Request:
    return wire.read(row(body, length), declared)


def asked(name: str = "input", datatype: str = "FP32", shape: object = (2,), **more: object) -> bytes:
    """A request of one input; `more` is besides its name, datatype and shape."""
    return json.dumps({"inputs": [{"name": name, "datatype": datatype, "shape": shape, **more}]}).encode()


def raw(
    content: bytes, datatype: str = "FP32", shape: object = (2,), name: str = "input"
) -> tuple[bytes, str]:
    """The same with its tensor behind the JSON."""
    text = asked(name, datatype, shape, parameters={"binary_data_size": len(content)})
    return text + content, str(len(text))


def refused(body: bytes, declared: Model, length: str | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(body, declared, length)
    assert caught.value.message
    return caught.value


def values(request: Request) -> list[object]:
    items = [item for item in request.items if isinstance(item, Numbers)]
    assert len(items) == len(request.items)
    return [item.values.tolist() for item in items]


FLOATS = [[1, 2], [3, 4.5]]


@pytest.mark.parametrize(
    ("body", "declared", "wanted"),
    [
        (foreign_bytes.REST_FLOATS, VECTOR, FLOATS),
        (foreign_bytes.REST_FLOATS_JSON, VECTOR, FLOATS),
        (foreign_bytes.REST_HALVES, VECTOR, FLOATS),
        (foreign_bytes.REST_NAMED, VECTOR, FLOATS[:1]),
        (foreign_bytes.REST_INT64, WHOLE, [[1, -2]]),
        (foreign_bytes.REST_INT64, VECTOR, [[1, -2]]),
    ],
)
def test_what_tritonclient_sends_is_read(
    body: tuple[bytes, str | None], declared: Model, wanted: list[object]
) -> None:
    assert values(read(body[0], declared, body[1])) == wanted


def test_pictures_of_tritonclient_are_items_and_an_empty_one_is_its_own_error() -> None:
    request = read(foreign_bytes.REST_PICTURES[0], PICTURES, foreign_bytes.REST_PICTURES[1])
    first, second, third = request.items
    assert (first, third) == (EncodedImage(b"abc"), EncodedImage(b"\x00\xff"))
    assert isinstance(second, BadInput)
    assert second.code == "empty_body"


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
@pytest.mark.parametrize("shape", [[2, 3], [1, 2, 3]])
def test_data_are_nested_or_flat_and_one_item_needs_no_batch_dimension(
    data: list[Any], shape: list[int]
) -> None:
    body = data if len(shape) == 2 or not isinstance(data[0], list) else [data]
    assert values(read(asked(shape=shape, data=body), MATRIX)) == [[[1, 2, 3], [4, 5, 6]]]


def test_several_items_keep_their_order() -> None:
    request = read(asked(shape=[3, 2], data=[[1, 2], [3, 4], [5, 6]]), VECTOR)
    assert values(request) == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("datatype", sorted(datatypes.NUMBERS))
@pytest.mark.parametrize("binary", [True, False])
def test_a_float_model_takes_every_datatype_of_numbers(datatype: str, binary: bool) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(datatypes.NUMBERS[datatype])
    body = (
        raw(array.tobytes(), datatype, [2, 2])
        if binary
        else (asked("input", datatype, [2, 2], data=array.tolist()), None)
    )
    assert values(read(body[0], VECTOR, body[1])) == [[0, 1], [1, 0]]


@pytest.mark.parametrize("datatype", sorted(datatypes.NUMBERS))
def test_a_whole_number_model_takes_whole_numbers_only(datatype: str) -> None:
    content = np.array([0, 1]).astype(datatypes.NUMBERS[datatype]).tobytes()
    body, length = raw(content, datatype)
    if datatype.startswith("FP"):
        assert refused(body, WHOLE, length).code == "wrong_type"
    else:
        assert values(read(body, WHOLE, length)) == [[0, 1]]


def test_pictures_in_json_are_base64_or_data_urls() -> None:
    text = base64.b64encode(PNG).decode()
    body = asked("image", "BYTES", [3], data=[text, f"data:image/png;base64,{text}", "?"])
    first, second, third = read(body, BOTH).items
    assert first == second == EncodedImage(PNG)
    assert isinstance(third, BadInput)
    assert third.code == "bad_base64"
    assert read(asked("image", "BYTES", [], data=[text]), PICTURES).items == (EncodedImage(PNG),)


def test_unknown_fields_and_parameters_are_ignored() -> None:
    body = {
        "id": "x",
        "model_name": "other",
        "parameters": {"priority": 3, "binary_data_output": False, "timeout": None},
        "inputs": [
            {
                "name": "input",
                "datatype": "FP32",
                "shape": [2],
                "data": [1, 2],
                "parameters": {"a": [1]},
                "b": 1,
            }
        ],
        "outputs": [{"name": "output", "parameters": {"classification": 3}}],
    }
    assert values(read(json.dumps(body).encode(), VECTOR)) == [[1, 2]]


ONE = {"name": "input", "datatype": "FP32", "shape": [2], "data": [1, 2]}


def several(*inputs: object) -> bytes:
    return json.dumps({"inputs": inputs}).encode()


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b"[]", "wrong_type", "another form"),
        (b"{}", "wrong_type", "inputs"),
        (b'{"inputs": 1}', "wrong_type", "inputs"),
        (b'{"inputs": [', "bad_json", "valid JSON"),
        (b"\xff", "bad_json", "valid JSON"),
        (b'{"inputs": ' + b"[" * 5000, "wrong_type", "another form"),
        (several(), "empty_body", "no inputs"),
        (several(ONE, ONE), "ambiguous_form", "2 inputs"),
        (several({**ONE, "name": "x"}), "wrong_field", "'x'"),
        (several(ONE, {**ONE, "name": "x"}), "wrong_field", "'x'"),
        (several({**ONE, "datatype": "BYTES"}), "wrong_type", "'BYTES'"),
        (several({**ONE, "datatype": "BF16"}), "wrong_type", "'BF16'"),
        (several({**ONE, "datatype": "fp32"}), "wrong_type", "'fp32'"),
        (several({**ONE, "shape": [3]}), "wrong_shape", "[3]"),
        (several({**ONE, "shape": [2, 3]}), "wrong_shape", "[2, 3]"),
        (several({**ONE, "shape": []}), "wrong_shape", "[]"),
        (several({**ONE, "shape": [-1, 2]}), "wrong_shape", "[-1, 2]"),
        (several({**ONE, "shape": [2**62, 2]}), "too_many_items", "64 items"),
        (several({**ONE, "shape": [65, 2]}), "too_many_items", "64 items"),
        (several({**ONE, "shape": [0, 2], "data": []}), "empty_body", "empty"),
        (several({**ONE, "shape": [1.5]}), "wrong_type", "shape"),
        (several({**ONE, "shape": None}), "wrong_type", "shape"),
        (several({**ONE, "shape": [1] * 17}), "wrong_shape", "[1, 1, 1, 1, ...] of 17 dimensions"),
        (several({**ONE, "shape": [1] * 400}), "wrong_shape", "1200 bytes long"),
        (several({**ONE, "name": "x" * 9000}), "wrong_field", "'xxx"),
        (several({**ONE, "data": [1]}), "wrong_shape", "1 values"),
        (several({**ONE, "data": [1, 2, 3]}), "wrong_shape", "3 values"),
        (several({**ONE, "data": [[1, 2]]}), "wrong_shape", "nested 2 deep"),
        (several({**ONE, "data": []}), "wrong_shape", "0 values"),
        (several({**ONE, "data": 1}), "wrong_shape", "nested 0 deep"),
        (several({**ONE, "data": None}), "empty_body", "no data"),
        (several({**ONE, "shape": [2, 2], "data": [[1, 2], [3]]}), "wrong_shape", "ragged"),
        (several({**ONE, "shape": [2, 2], "data": [[1, 2, 3, 4]]}), "wrong_shape", "of shape [1, 4]"),
        (several({**ONE, "data": [1, "x"]}), "wrong_type", "$[1]"),
        (several({**ONE, "data": [1, True]}), "wrong_type", "$[1]"),
        (several({**ONE, "data": [1, None]}), "wrong_type", "$[1]"),
        (several({**ONE, "datatype": "INT32", "data": [1, 1.5]}), "wrong_type", "$[1]"),
        (several({**ONE, "datatype": "INT8", "data": [1, 300]}), "not_finite", "doesn't fit INT8"),
        (several({**ONE, "datatype": "UINT8", "data": [1, -1]}), "not_finite", "doesn't fit UINT8"),
        (several({**ONE, "datatype": "BOOL", "data": [1, 0]}), "wrong_type", "$[0]"),
        (several({"name": "input", "datatype": "FP32", "shape": [2]}), "empty_body", "no data"),
        (several({**ONE, "parameters": {"binary_data_size": 8}}), "ambiguous_form", "both"),
        (several({**ONE, "parameters": {"binary_data_size": "8"}}), "wrong_type", "binary_data_size"),
        (asked(parameters={"binary_data_size": 8}), "bad_tensor", "0 bytes follow"),
        (asked(parameters={"binary_data_size": -8}), "bad_tensor", "is -8"),
        (asked(parameters={"binary_data_size": 0}), "bad_tensor", "0 bytes came"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, code: str, named: str) -> None:
    error = refused(body, VECTOR)
    assert (error.code, named in error.message) == (code, True), error.message


def test_hints_show_the_inputs_that_there_are() -> None:
    hint = refused(several({**ONE, "name": "x"}), BOTH).hint
    assert "'image' as BYTES of shape [-1]" in hint
    assert "'input' as FP32 of shape [-1, 2]" in hint


def test_a_model_of_pictures_takes_no_numbers() -> None:
    assert refused(several(ONE), PICTURES).code == "wrong_field"
    assert refused(several({**ONE, "name": "image"}), PICTURES).code == "wrong_type"
    assert refused(asked("image", "BYTES", [2], data=["x"]), PICTURES).code == "wrong_shape"
    assert refused(asked("image", "BYTES", [1], data=[1]), PICTURES).code == "wrong_type"
    assert refused(asked("image", "BYTES", [2, 1], data=["x", "y"]), PICTURES).code == "wrong_shape"


@pytest.mark.parametrize("length", ["", "-1", "1e1", "99999", "9" * 30, "\u0663", "+5", " 5"])
def test_a_header_that_is_no_length_of_the_json_is_refused(length: str) -> None:
    assert refused(several(ONE), VECTOR, length).code == "bad_tensor"


def test_what_follows_the_json_must_be_the_tensor() -> None:
    body, length = raw(np.float32([1, 2]).tobytes())
    assert values(read(body, VECTOR, length)) == [[1, 2]]
    assert refused(body + b"\0", VECTOR, length).code == "bad_tensor"
    assert refused(body[:-1], VECTOR, length).code == "bad_tensor"
    assert refused(several(ONE) + b"\0", VECTOR, str(len(several(ONE)))).code == "bad_tensor"
    assert refused(*reversed_arguments(raw(b"\0" * 12))).code == "bad_tensor"
    assert "has 8" in refused(*reversed_arguments(raw(b"\0" * 12))).message


def reversed_arguments(body: tuple[bytes, str]) -> tuple[bytes, Model, str]:
    return body[0], VECTOR, body[1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\1\0\0\0",
        b"\1\0\0\0a",
        b"\1\0\0\0ab",
        b"\1\0\0\0a\xff\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0",
    ],
)
def test_elements_of_other_lengths_than_they_say_are_refused(content: bytes) -> None:
    body, length = raw(content, "BYTES", [2], "image")
    error = refused(body, PICTURES, length)
    assert (error.code, "2 elements" in error.message) == ("bad_tensor", True)


def test_a_number_beyond_int64_is_refused() -> None:
    body, length = raw(np.array([0, 2**63], np.uint64).tobytes(), "UINT64")
    error = refused(body, WHOLE, length)
    assert (error.code, error.message) == ("not_finite", "a number doesn't fit int64")
    assert values(read(body, VECTOR, length)) == [[0, 2**63]]


@pytest.mark.parametrize(
    "body",
    [
        asked(data=[0] * 200_000),
        asked(shape=[64, 2], data=[[0]] * 100_000),
        b'{"inputs": [' + b"{}," * 100_000 + b"{}]}",
        b'{"inputs": [], "outputs": [' + b'{"name": "a"},' * 100_000 + b"{}]}",
    ],
)
def test_far_more_than_a_request_can_have_is_refused_before_it_is_built(body: bytes) -> None:
    assert refused(body, VECTOR).code in ("too_many_items", "wrong_shape")


def test_nothing_is_built_of_a_shape_of_no_use() -> None:
    """Commas of data that a large model could have, in the shape instead."""
    large = model(TensorInput([1000, 1000]))
    body = asked(shape=[1] * 500_000, data=[1])
    assert peak(lambda: refused(body, large)) < 5 * len(body)


def peak(call: Callable[[], object]) -> int:
    """Bytes that were taken at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("nested", [True, False])
def test_halves_are_those_of_a_raw_tensor(nested: bool) -> None:
    """Also where rounding twice, or not at all, gives another number."""
    numbers = np.array([[0.1, 1 / 3], [2049, 65519], [6e-8, -1e-9]])
    data = numbers.tolist() if nested else numbers.ravel().tolist()
    body, length = raw(numbers.astype("<f2").tobytes(), "FP16", [3, 2])
    assert values(read(asked("input", "FP16", [3, 2], data=data), VECTOR)) == values(
        read(body, VECTOR, length)
    )


def test_what_is_beyond_a_half_is_not_finite() -> None:
    assert values(read(asked("input", "FP16", data=[70000, -70000]), VECTOR)) == [[np.inf, -np.inf]]


@pytest.mark.parametrize("datatype", ["INT64", "UINT64", "FP64"])
@pytest.mark.parametrize("binary", [True, False])
def test_wider_numbers_are_rounded_as_json_is(datatype: str, binary: bool) -> None:
    array = np.array([16777217, 0]).astype(datatypes.NUMBERS[datatype])
    body = raw(array.tobytes(), datatype) if binary else (asked("input", datatype, data=array.tolist()), None)
    assert values(read(body[0], VECTOR, body[1])) == [[16777216, 0]]


def test_nothing_arrived() -> None:
    assert refused(b"", VECTOR).code == "empty_body"


class Own(Answer, frozen=True):
    """An owner's answer."""

    tensor: Any

    def tensors(self) -> dict[str, Array]:
        return {"own": np.asarray(self.tensor)}


def answered(answer: object, output: object = (0.25, 0.75)) -> Answered:
    return Answered(answer, msgspec.json.encode(answer), torch.tensor(output, dtype=torch.float32))


def classes(*labels: str) -> Answered:
    return answered(Classification([Prediction(label, index, 0.5) for index, label in enumerate(labels)]))


def wanting(count: int = 1, outputs: object = None, binary: bool = False, id: str = "") -> Request:
    """A request that was read, of so many items."""
    body: dict[str, object] = {"inputs": [{**ONE, "shape": [count, 2], "data": [0.0] * 2 * count}], "id": id}
    body["parameters"] = {"binary_data_output": binary}
    if outputs is not None:
        body["outputs"] = outputs
    return read(json.dumps(body).encode(), VECTOR)


def tensors(response: Response) -> dict[str, dict[str, Any]]:
    """The outputs of a response in JSON, by name, in their order."""
    assert (response.status, response.content_type) == (200, "application/json")
    body = json.loads(response.body)
    assert (body["model_name"], body["model_version"]) == ("m", "1.2")
    return {output.pop("name"): output for output in body["outputs"]}


def test_classes_are_three_tensors_over_the_items() -> None:
    found = tensors(wire.write(wanting(2), [classes("a", "b"), classes("ü", "d")]))
    assert found == {
        "label": {"datatype": "BYTES", "shape": [2, 2], "data": ["a", "b", "ü", "d"]},
        "index": {"datatype": "INT64", "shape": [2, 2], "data": [0, 1, 0, 1]},
        "score": {"datatype": "FP32", "shape": [2, 2], "data": [0.5] * 4},
    }


def test_values_and_outputs_keep_their_shapes() -> None:
    assert tensors(wire.write(wanting(), [answered(Regression([1.5, 2]))])) == {
        "values": {"datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]}
    }
    matrix = answered(Values([[1, 2], [3, 4]], [2, 2]))
    assert tensors(wire.write(wanting(2), [matrix, matrix])) == {
        "output": {"datatype": "FP32", "shape": [2, 2, 2], "data": [1, 2, 3, 4] * 2}
    }


def test_an_answer_that_is_none_of_tensors_is_its_json() -> None:
    found = tensors(wire.write(wanting(2), [answered({"a": [1]}), answered("x")]))
    assert found == {"answer": {"datatype": "BYTES", "shape": [2], "data": ['{"a":[1]}', '"x"']}}


def test_outputs_come_as_they_were_asked_for() -> None:
    request = wanting(outputs=[{"name": "raw"}, {"name": "index"}])
    found = tensors(wire.write(request, [classes("a", "b")]))
    assert list(found) == ["raw", "index"]
    assert found["raw"] == {"datatype": "FP32", "shape": [1, 2], "data": [0.25, 0.75]}


def test_an_unknown_output_is_told_and_one_asked_for_twice() -> None:
    with pytest.raises(BadInput) as caught:
        wire.write(wanting(outputs=[{"name": "x"}]), [classes("a")])
    assert (caught.value.code, caught.value.status) == ("wrong_field", 400)
    assert "'label', 'index', 'score' or 'raw'" in caught.value.hint
    with pytest.raises(BadInput) as caught:
        wanting(outputs=[{"name": "raw"}, {"name": "raw"}])
    assert caught.value.code == "ambiguous_form"


def test_items_whose_answers_differ_in_shape_are_to_be_sent_alone() -> None:
    with pytest.raises(BadInput) as caught:
        wire.write(wanting(2), [classes("a", "b"), classes("a")])
    assert (caught.value.code, caught.value.hint) == ("wrong_shape", "send these items one at a time")


def test_raw_outputs_follow_the_json_in_their_order() -> None:
    outputs = [
        {"name": "label", "parameters": {"binary_data": True}},
        {"name": "index", "parameters": {"binary_data": False}},
        {"name": "score"},
    ]
    response = wire.write(wanting(2, outputs, binary=True, id="r-7"), [classes("a", "bc"), classes("", "ü")])
    length = int(response.headers["inference-header-content-length"])
    assert (response.status, response.content_type) == (200, "application/octet-stream")
    head, tail = json.loads(response.body[:length]), response.body[length:]
    label, index, score = head["outputs"]
    assert head["id"] == "r-7"
    assert (index["data"], "parameters" in index) == ([0, 1, 0, 1], False)
    assert label["parameters"]["binary_data_size"] == 21
    assert tail[:21] == b"\1\0\0\0a\2\0\0\0bc\0\0\0\0\2\0\0\0\xc3\xbc"
    assert score["parameters"]["binary_data_size"] == 16
    assert tail[21:] == np.float32([0.5] * 4).tobytes()


def test_without_names_all_outputs_are_raw_or_none_is() -> None:
    response = wire.write(wanting(binary=True), [answered(Regression([1.5]))])
    length = int(response.headers["inference-header-content-length"])
    assert response.body[length:] == np.float32([1.5]).tobytes()
    assert "id" not in json.loads(response.body[:length])
    assert not wire.write(wanting(), [answered(Regression([1.5]))]).headers


@pytest.mark.parametrize(
    ("tensor", "datatype"),
    [
        ([True], "BOOL"),
        (np.array([1], ">i2"), "INT16"),
        ([1.0], "FP64"),
        (np.array(["a"]), "BYTES"),
        (np.array([b"a"], object), "BYTES"),
    ],
)
def test_an_owners_tensors_have_their_own_datatypes(tensor: Any, datatype: str) -> None:
    one = Answered(Own(tensor), b"{}", torch.zeros(1))
    assert tensors(wire.write(wanting(), [one]))["own"]["datatype"] == datatype
    response = wire.write(wanting(binary=True), [one])
    length = int(response.headers["inference-header-content-length"])
    if datatype == "INT16":
        assert response.body[length:] == b"\1\0"


def test_a_tensor_of_no_datatype_is_our_fault_and_bytes_that_are_no_text_are_to_be_asked_for_raw() -> None:
    with pytest.raises(ForwardFailed):
        wire.write(wanting(), [Answered(Own([1j]), b"{}", torch.zeros(1))])
    noise = Answered(Own(np.array([b"\xff"], object)), b"{}", torch.zeros(1))
    with pytest.raises(BadInput) as caught:
        wire.write(wanting(), [noise])
    assert "binary_data" in caught.value.hint
    assert wire.write(wanting(binary=True), [noise]).body.endswith(b"\1\0\0\0\xff")


BAD = BadInput("no picture", code="bad_image", hint="send one", status=422)


def test_errors_are_a_text_with_code_and_request() -> None:
    for response in (wire.write(wanting(), [BAD]), wire.refuse(row(b""), BAD)):
        assert (response.status, response.content_type, response.errors) == (422, "application/json", ())
        assert json.loads(response.body) == {
            "error": "no picture; send one",
            "code": "bad_image",
            "request_id": "id-1",
        }


def test_bad_items_among_good_ones_are_named_by_their_index() -> None:
    response = wire.write(wanting(3), [BAD, classes("a"), BadInput("ragged", code="wrong_shape")])
    body = json.loads(response.body)
    assert (response.status, body["code"]) == (400, "bad_items")
    assert body["error"].startswith("2 of 3 items failed: 0, 2; ")
    assert [(item["index"], item["code"]) for item in body["items"]] == [(0, "bad_image"), (2, "wrong_shape")]


def test_our_own_fault_tells_nothing() -> None:
    failed = ForwardFailed("the inside")
    response = wire.write(wanting(), [failed])
    assert (response.status, response.errors) == (500, (failed,))
    assert b"inside" not in response.body


def read_or_refused(body: bytes, declared: Model, length: str | None) -> None:
    found = guarded(lambda: read(body, declared, length))
    if isinstance(found, Refusal):
        assert 400 <= found.status < 500
        assert json.loads(wire.refuse(row(body), found).body)["code"] == found.code
    else:
        assert 0 < len(found.items) <= declared.max_items


SHAPES = st.lists(st.integers(-1, 4) | st.integers(-(2**70), 2**70), max_size=4)
NUMBERS = st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=3)
DATA = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=4), max_leaves=10)
DECLARED = st.sampled_from([VECTOR, WHOLE, MATRIX, PICTURES, BOTH])


@FUZZ
@given(
    name=st.sampled_from(["input", "image", "x"]),
    datatype=st.sampled_from([*datatypes.NUMBERS, "BYTES", "BF16"]),
    shape=SHAPES | st.sampled_from([[2], [1, 2], [2, 2], [2, 3]]),
    data=DATA | st.lists(st.integers(0, 200), min_size=2, max_size=4),
    declared=DECLARED,
)
def test_any_input_is_read_or_refused(
    name: str, datatype: str, shape: list[int], data: object, declared: Model
) -> None:
    read_or_refused(asked(name, datatype, shape, data=data), declared, None)


@FUZZ
@given(
    content=st.binary(max_size=24),
    datatype=st.sampled_from([*datatypes.NUMBERS, "BYTES"]),
    shape=SHAPES | st.sampled_from([[2], [1, 2], [2, 2], [1], [3]]),
    off=st.integers(-2, 2),
    declared=DECLARED,
)
def test_any_raw_tensor_is_read_or_refused(
    content: bytes, datatype: str, shape: list[int], off: int, declared: Model
) -> None:
    body, length = raw(content, datatype, shape, "image" if datatype == "BYTES" else "input")
    read_or_refused(body, declared, str(int(length) + off) if off else length)


@FUZZ
@given(body=st.binary(max_size=100), declared=DECLARED, length=st.none() | st.integers(0, 100).map(str))
def test_any_bytes_are_read_or_refused(body: bytes, declared: Model, length: str | None) -> None:
    read_or_refused(body, declared, length)


@FUZZ
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
        min_size=1,
    ),
)
def test_floats_are_the_same_in_json_and_raw(rows: list[list[float]]) -> None:
    array = np.array(rows, np.float32)
    body, length = raw(array.tobytes(), "FP32", list(array.shape))
    for request in (
        read(body, VECTOR, length),
        read(asked(shape=array.shape, data=rows), VECTOR),
        read(asked(shape=array.shape, data=array.ravel().tolist()), VECTOR),
    ):
        found = np.stack([item.values for item in request.items if isinstance(item, Numbers)])
        assert found.tobytes() == array.tobytes()


@FUZZ
@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5))
def test_bytes_come_back_as_they_were_packed(texts: list[bytes]) -> None:
    array = np.empty(len(texts), object)
    array[:] = texts
    packed = datatypes.packed(array)
    assert datatypes.texts(packed, len(texts)) == texts
    body, length = raw(packed, "BYTES", [len(texts)], "image")
    assert read(body, PICTURES, length).items == tuple(map(EncodedImage, texts))
