"""KServe's first protocol: instances become items or a refusal, outcomes predictions."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import wire
from handlers.blame import guarded
from handlers.errors import BadInput, ForwardFailed, Refusal
from handlers.recipe import ImageInput, Model, TensorInput
from handlers.wire import PROTOCOL, Answered, EncodedImage, Numbers, Request, Row
from tests.bad_inputs import picture

PNG = picture("PNG")
ENCODED = base64.b64encode(PNG).decode()


def model(*inputs: ImageInput | TensorInput) -> Model:
    return Model("m", "1.2", "tensor", "weights.pth", list(inputs), max_items=64)


VECTOR = model(TensorInput([2]))
NUMBER = model(TensorInput([1]))
WHOLE = model(TensorInput([1], dtype="int64"))
MATRIX = model(TensorInput([2, 2]))
PICTURES = model(ImageInput())
BOTH = model(ImageInput(), TensorInput([2]))


def row(body: bytes, content_type: str = "") -> Row:
    return Row({"body": bytearray(body)}, {PROTOCOL: "kserve_v1", "content-type": content_type}, "id-1")


def read(body: object, declared: Model) -> Request:
    return wire.read(row(body if isinstance(body, bytes) else json.dumps(body).encode()), declared)


def refused(body: object, declared: Model) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(body, declared)
    return caught.value


def shown(request: Request) -> list[object]:
    """Each item's values, its picture, or its error's code."""
    return [_shown(item) for item in request.items]


def _shown(item: object) -> object:
    if isinstance(item, Numbers):
        return item.values.tolist()
    return item.content if isinstance(item, EncodedImage) else getattr(item, "code", None)


@pytest.mark.parametrize(
    ("declared", "instances", "wanted"),
    [
        (VECTOR, [[1, 2]], [[1, 2]]),
        (VECTOR, [[1, 2], [3, 4.5]], [[1, 2], [3, 4.5]]),
        (MATRIX, [[[1, 2], [3, 4]]], [[[1, 2], [3, 4]]]),
        (VECTOR, [{"input": [1, 2]}, [3, 4]], [[1, 2], [3, 4]]),
        (VECTOR, [[1, 2], {"input": [3, 4]}], [[1, 2], [3, 4]]),
        (NUMBER, [1, 2.5], [[1], [2.5]]),
        (NUMBER, [[1], [2.5]], [[1], [2.5]]),
        (WHOLE, [1, -2], [[1], [-2]]),
        (BOTH, [[1, 2], ENCODED], [[1, 2], PNG]),
    ],
)
def test_numbers_are_instances_in_every_form(declared: Model, instances: object, wanted: object) -> None:
    assert shown(read({"instances": instances}, declared)) == wanted


@pytest.mark.parametrize(
    "instance",
    [
        ENCODED,
        f"data:image/png;base64,{ENCODED}",
        {"b64": ENCODED},
        {"image": {"b64": ENCODED}},
        {"image": ENCODED},
        {"image_bytes": {"b64": ENCODED}},
    ],
)
def test_pictures_are_instances_in_every_form(instance: object) -> None:
    assert shown(read({"instances": [instance, {"b64": ENCODED}]}, PICTURES)) == [PNG, PNG]


@pytest.mark.parametrize(
    ("declared", "instances", "wanted"),
    [
        (VECTOR, [[1, 2], [3], [4, 5]], [[1, 2], "wrong_shape", [4, 5]]),
        (VECTOR, [[1, 2], ["x", 3], [3, "x"]], [[1, 2], "wrong_kind", "wrong_type"]),
        (VECTOR, [[1, 2], None, {"x": 1}, 5], [[1, 2], "wrong_shape", "wrong_field", "wrong_shape"]),
        (VECTOR, [{"input": [1, 2]}, {"input": [[1, 2], [3, 4]]}], [[1, 2], "wrong_shape"]),
        (VECTOR, [[1, 2], ENCODED], [[1, 2], "wrong_kind"]),
        (NUMBER, [1, "x"], [[1], "wrong_kind"]),
        (PICTURES, [ENCODED, "?", [1, 2]], [PNG, "bad_base64", "wrong_kind"]),
        (PICTURES, [{"b64": ""}, {"b64": 1}], ["empty_body", "wrong_type"]),
    ],
)
def test_what_is_wrong_with_an_instance_is_its_own_error(
    declared: Model, instances: object, wanted: object
) -> None:
    assert shown(read({"instances": instances}, declared)) == wanted


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"{", "bad_json"),
        (b"[[1, 2]]", "wrong_type"),
        (b"[" * 9000, "wrong_type"),
        (b'{"instances": ' + b"[" * 9000, "bad_json"),
        (b'{"instances": [[1, 2], ' + b"[" * 9000, "bad_json"),
        ({"inputs": [[1, 2]]}, "wrong_field"),
        ({}, "wrong_field"),
        ({"instances": []}, "empty_body"),
        ({"instances": 1}, "wrong_type"),
        ({"instances": None}, "wrong_type"),
        ({"instances": {"b64": ENCODED}}, "wrong_type"),
        ({"instances": [[0, 0]] * 65}, "too_many_items"),
        ({"instances": [None] * 65}, "too_many_items"),
        ({"instances": [[0]] * 100_000}, "too_many_items"),
        ({"instances": ["x"] * 100_000}, "too_many_items"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_as_a_whole(body: object, code: str) -> None:
    error = refused(body, BOTH)
    assert (error.code, error.status) == (code, 413 if code == "too_many_items" else 400)
    assert code == "too_many_items" or code == "empty_body" or '{"instances": [...]}' in error.hint


def test_other_fields_are_ignored() -> None:
    assert shown(read({"signature_name": "x", "instances": [[1, 2]], "parameters": {}}, VECTOR)) == [[1, 2]]


def answered(text: str) -> Answered:
    return Answered(None, text.encode(), torch.zeros(1))


def test_predictions_are_the_items_answers() -> None:
    one, two = read({"instances": [[1, 2]]}, VECTOR), read({"instances": [[1, 2], [3, 4]]}, VECTOR)
    response = wire.write(one, [answered('{"values":[1]}')])
    assert (response.status, response.body) == (200, b'{"predictions":[{"values":[1]}]}')
    assert wire.write(two, [answered("1"), answered("2")]).body == b'{"predictions":[1,2]}'


BAD = BadInput("no picture", code="bad_image", hint="send one", status=422)


def told(response: wire.Response) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.body)
    assert body["request_id"] == "id-1"
    assert isinstance(body["error"], str)
    return body


def test_errors_are_a_text_with_code_and_request() -> None:
    one = read({"instances": [[1, 2]]}, VECTOR)
    for response in (wire.write(one, [BAD]), wire.refuse(row(b""), BAD)):
        assert (response.status, response.content_type) == (422, "application/json")
        assert told(response) == {"error": "no picture; send one", "code": "bad_image", "request_id": "id-1"}
    failed = wire.write(one, [ForwardFailed("the inside")])
    assert (failed.status, told(failed)["code"]) == (500, "internal")
    assert b"inside" not in failed.body


def test_bad_instances_among_good_ones_are_named() -> None:
    two = read({"instances": [[1, 2], [3, 4]]}, VECTOR)
    response = wire.write(two, [answered("1"), BAD])
    assert (response.status, told(response)["code"]) == (400, "bad_items")
    assert [(item["index"], item["code"]) for item in told(response)["items"]] == [(1, "bad_image")]


NUMBERS = st.integers() | st.floats() | st.integers(-5, 5) | st.none() | st.booleans()
VALUES = st.recursive(
    NUMBERS | st.text(max_size=3) | st.just(ENCODED),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["input", "image", "image_bytes", "b64", "x"]), inner, max_size=2)
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None, database=None)
@given(
    instances=VALUES | st.lists(VALUES, max_size=4),
    declared=st.sampled_from([VECTOR, NUMBER, WHOLE, MATRIX, PICTURES, BOTH]),
)
def test_any_instances_are_read_or_refused(instances: object, declared: Model) -> None:
    body = {"instances": instances}
    found = guarded(lambda: read(body, declared))
    if isinstance(found, Refusal):
        assert 400 <= found.status < 500
    else:
        assert 0 < len(found.items) <= declared.max_items
