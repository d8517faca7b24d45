"""wire: what callers send becomes items or a refusal, whatever it is, and outcomes become bodies."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import recipe, wire
from handlers.errors import BadInput, ForwardFailed, Refusal
from handlers.recipe import ImageInput, Model, TensorInput
from handlers.wire import Answered, EncodedImage, Numbers, Request, Row
from tests.bad_inputs import npy, picture, saved

MODELS = Path(__file__).resolve().parents[2] / "models"
MLP = recipe.load(MODELS / "digits_mlp").handler

PNG, JPEG, WEBP = picture("PNG"), picture("JPEG"), picture("WEBP")
ENCODED = base64.b64encode(PNG).decode()


def model(*inputs: ImageInput | TensorInput) -> Model:
    return Model("m", "1", "tensor", "weights.pth", list(inputs), max_items=1024)


def vectors(*shape: int, dtype: str = "float32") -> Model:
    return model(TensorInput(list(shape), dtype=dtype))


PICTURES = model(ImageInput())
BOTH = model(ImageInput(), TensorInput([2, 3]))


def read(body: object, declared: Model, content_type: str = "") -> Request:
    headers = {"content-type": content_type} if content_type else {}
    return wire.read(Row({"body": body}, headers, "id-1"), declared)


def refused(body: object, declared: Model, content_type: str = "") -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(body, declared, content_type)
    return caught.value


def values(request: Request) -> list[object]:
    items = [item for item in request.items if isinstance(item, Numbers)]
    assert len(items) == len(request.items)
    return [item.values.tolist() for item in items]


def contents(request: Request) -> list[bytes]:
    items = [item for item in request.items if isinstance(item, EncodedImage)]
    assert len(items) == len(request.items)
    return [bytes(item.content) for item in items]


@pytest.mark.parametrize(
    "content_type", ["", "image/png", "application/octet-stream", "text/plain", "nonsense"]
)
@pytest.mark.parametrize("body", [PNG, JPEG, WEBP], ids=["PNG", "JPEG", "WebP"])
def test_an_image_is_one_item_whatever_its_content_type(body: bytes, content_type: str) -> None:
    request = read(bytearray(body), BOTH, content_type)
    assert (contents(request), request.many, request.request_id) == ([body], False, "id-1")


@pytest.mark.parametrize("field", ["image", "file", "data", "body", "☃", ""])
def test_a_form_has_one_field_whatever_it_is_called(field: str) -> None:
    request = wire.read(Row({field: bytearray(PNG)}, {"content-type": "multipart/form-data"}), PICTURES)
    assert contents(request) == [PNG]


def test_a_form_field_holds_json_or_an_array_as_well() -> None:
    assert values(wire.read(Row({"x": b"[1, 2]"}), vectors(2))) == [[1, 2]]
    assert values(wire.read(Row({"x": saved([1.0, 2.0])}), vectors(2))) == [[1, 2]]


def test_a_form_of_two_fields_is_refused_with_their_names() -> None:
    with pytest.raises(BadInput, match=r"'k'.*'x\\ud800'") as caught:
        wire.read(Row({"x\ud800": PNG, "k": b"5"}), PICTURES)
    assert caught.value.code == "ambiguous_form"


def test_no_body_is_refused() -> None:
    with pytest.raises(BadInput) as caught:
        wire.read(Row({}), PICTURES)
    assert caught.value.code == "empty_body"


@pytest.mark.parametrize("fields", [{}, {"[1, 2": b""}, {"body": b"[1, 2]"}])
def test_what_curl_sends_as_a_form_is_refused_with_the_option_to_use(fields: dict[str, object]) -> None:
    with pytest.raises(BadInput) as caught:
        wire.read(Row(fields, {"content-type": "application/x-www-form-urlencoded"}), PICTURES)
    assert (caught.value.code, caught.value.status) == ("unsupported_type", 415)
    assert "-T FILE" in caught.value.hint


@pytest.mark.parametrize("wrap", ['{"input": %s}', "%s", ' \n{ "input" :%s}\t', '{"image": %s}'])
@pytest.mark.parametrize(
    ("sent", "many", "items"),
    [
        ("[[1, 2, 3], [4, 5.5, -6e2]]", False, 1),
        ("[[[1, 2, 3], [4, 5.5, -6e2]]]", True, 1),
        ("[[[1, 2, 3], [4, 5.5, -6e2]], [[1, 2, 3], [4, 5.5, -6e2]]]", True, 2),
    ],
)
@pytest.mark.parametrize("declared", [vectors(2, 3), BOTH])
def test_one_item_or_many_follows_from_the_declared_shape(
    wrap: str, sent: str, many: bool, items: int, declared: Model
) -> None:
    request = read((wrap % sent).encode(), declared)
    assert values(request) == [[[1, 2, 3], [4, 5.5, -600]]] * items
    assert request.many is many


@pytest.mark.parametrize(
    "body", ['{"input": [1, 2]}', {"input": [1, 2]}, [1, 2], "[1,2]", bytearray(b"[1,2]")]
)
def test_text_and_json_that_was_parsed_already_are_read_as_well(body: object) -> None:
    assert values(read(body, vectors(2), "application/json")) == [[1, 2]]


@pytest.mark.parametrize("body", [{"image": "\ud800"}, {"\ud800": 1}, "\ud800"])
def test_parsed_json_with_a_lone_surrogate_is_refused(body: object) -> None:
    assert refused(body, BOTH, "application/json").code == "bad_json"


def test_parsed_json_with_nan_is_refused() -> None:
    assert refused([float("nan"), 1.0], vectors(2)).code == "wrong_type"


DATA_URL = f"data:image/png;base64,{ENCODED}"
IN_LINES = base64.encodebytes(PNG).decode()


@pytest.mark.parametrize(
    ("sent", "items"),
    [
        ({"image": {"b64": ENCODED}}, 1),
        ({"image": ENCODED}, 1),
        ({"image": DATA_URL}, 1),
        ({"image": {"b64": DATA_URL}}, 1),
        ({"image": "DATA:;charset=x;BASE64," + ENCODED}, 1),
        ({"input": {"b64": ENCODED}}, 1),
        ({"b64": ENCODED}, 1),
        (ENCODED, 1),
        ({"image": IN_LINES}, 1),
        ({"image": [DATA_URL]}, [1]),
        ({"image": [{"b64": ENCODED}, ENCODED, DATA_URL]}, [3]),
        ({"input": [ENCODED, ENCODED]}, [2]),
        ([DATA_URL, {"b64": ENCODED}], [2]),
        ([{"image": {"b64": ENCODED}}, {"image": DATA_URL}], [2]),
    ],
)
def test_images_in_base64_are_one_item_or_a_list(sent: object, items: int | list[int]) -> None:
    for declared in (PICTURES, BOTH):
        request = read(json.dumps(sent).encode(), declared)
        assert contents(request) == [PNG] * (items[0] if isinstance(items, list) else items)
        assert request.many is isinstance(items, list)


def test_a_bad_image_of_a_list_is_an_error_in_its_place() -> None:
    items = read(json.dumps({"image": [ENCODED, "@@", 5, {"url": 1}, "", ENCODED]}).encode(), PICTURES).items
    codes = [item.code if isinstance(item, BadInput) else "" for item in items]
    assert codes == ["", "bad_base64", "wrong_type", "wrong_field", "empty_body", ""]


def test_a_bad_vector_of_a_list_is_an_error_in_its_place() -> None:
    items = read(b"[[1, 2], [3], [], [4, 5]]", vectors(2)).items
    codes = [item.code if isinstance(item, BadInput) else "" for item in items]
    assert codes == ["", "wrong_shape", "wrong_shape", ""]


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", "<i4", ">i8", "|u1", "|b1", "<u2", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("count", [None, 1, 3])
def test_an_npy_of_any_number_type_and_order_is_read(dtype: str, order: str, count: int | None) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    sent = array if count is None else np.stack([array] * count)
    request = read(saved(sent.copy(order)), vectors(2, 3))
    assert values(request) == [array.astype(np.float32).tolist()] * (count or 1)
    assert request.many is (count is not None)
    assert {item.values.dtype for item in request.items if isinstance(item, Numbers)} == {
        np.dtype(np.float32)
    }


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_npy_of_any_version_is_read(version: tuple[int, int]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([1.0, 2.0]), version=version)
    assert values(read(file.getvalue(), vectors(2))) == [[1, 2]]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70), min_size=1))
def test_numbers_are_rounded_to_float32_once(numbers: list[float]) -> None:
    """By way of float64, as numpy does; what is beyond float32 is infinite, and refused later."""
    (item,) = read(json.dumps({"input": numbers}).encode(), vectors(len(numbers))).items
    assert isinstance(item, Numbers)
    with np.errstate(over="ignore"):
        expected = np.asarray(numbers, np.float64).astype(np.float32)
    assert item.values.tobytes() == expected.tobytes()


@pytest.mark.parametrize("count", [100, 40_000])
def test_far_too_many_lists_are_refused_whether_they_are_counted_or_read(count: int) -> None:
    body = b"[" + b"[]," * count + b"[]]"
    error = refused(body, vectors(2))
    assert error.code == ("too_many_items" if count > 1024 else "wrong_shape")


def test_names_that_no_items_have_are_counted_and_not_built() -> None:
    body = json.dumps({"input": [1, 2], **{str(number): 0 for number in range(50_000)}}).encode()
    assert peak(lambda: refused(body, vectors(2))) < 3 * len(body)
    error = refused(body, vectors(2))
    assert (error.code, error.status) == ("too_many_items", 413)
    assert "more names than 1024 items" in error.message


def test_as_many_names_as_items_can_have_are_none_too_many() -> None:
    content = PNG + b"\0" * 100
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    for sent in ({"image": [{"image": {"b64": url}}] * 1024}, [{"image": {"b64": url}}] * 1024):
        assert contents(read(json.dumps(sent).encode(), PICTURES)) == [content] * 1024


def test_large_numbers_and_pictures_under_one_name_are_read() -> None:
    numbers = list(range(100_000))
    assert values(read(json.dumps({"input": numbers}).encode(), vectors(100_000))) == [numbers]
    content = PNG + b"\0" * 2**18
    body = json.dumps({"image": base64.b64encode(content).decode()}).encode()
    assert contents(read(body, PICTURES)) == [content]


@pytest.mark.parametrize("inside", [b"1", b'{"a":1}'])
def test_nothing_is_built_of_lists_that_nest_otherwise(inside: bytes) -> None:
    body = b"[[[[" + (inside + b",") * 100_000 + inside + b"]]]]"
    assert peak(lambda: refused(body, vectors(2))) < 4 * len(body)
    assert refused(body, vectors(2)).code == "wrong_shape"
    assert refused(body[:-1], vectors(2)).code == "bad_json"


def peak(call: Callable[[], object]) -> int:
    """Bytes that were taken at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_json_that_says_it_is_an_image_is_none() -> None:
    assert refused(b"{}", PICTURES, "image/png").code == "bad_image"


def test_whole_numbers_stay_exact_where_they_are_declared() -> None:
    whole = vectors(2, dtype="int64")
    most = 2**63 - 1
    assert values(read(f"[{most}, -5]".encode(), whole)) == [[most, -5]]
    assert values(read(saved(np.array([most, -5])), whole)) == [[most, -5]]
    assert values(read(saved(np.array([7, 5], "|u1")), whole)) == [[7, 5]]
    error = refused(f"[{most + 1}, 0]".encode(), whole)
    assert (error.code, error.message) == ("not_finite", "a number doesn't fit int64")
    assert refused(b"[1.5, 0]", whole).code == "wrong_type"
    assert refused(saved(np.array([1.5, 0])), whole).code == "wrong_type"
    assert refused(saved(np.array([2**63, 0], np.uint64)), whole).code == "wrong_type"


def test_arrays_are_refused_by_a_model_of_images_and_images_by_one_of_arrays() -> None:
    for body in (b"[[1, 2]]", b'{"input": [1]}', saved([1.0]), b'{"image": [1, 2]}'):
        assert refused(body, PICTURES).code == "wrong_kind"
    for body in (PNG, JPEG, WEBP, json.dumps({"image": ENCODED}).encode(), b'["x"]'):
        assert refused(body, vectors(2)).code == "wrong_kind"


@pytest.mark.parametrize(
    "body",
    [b"[" + b"[1, 2]," * 1024 + b"[1, 2]]", saved(np.zeros((1025, 2))), b'["' + b'", "' * 1024 + b'"]'],
    ids=["vectors", "npy", "images"],
)
def test_more_items_than_the_recipe_takes_are_refused(body: bytes) -> None:
    declared = model(ImageInput(), TensorInput([2]))
    error = refused(body, declared)
    assert (error.code, error.status) == ("too_many_items", 413)
    assert "more than 1024 items" in error.message


def test_hints_show_what_to_send() -> None:
    hint = refused(b'{"x": 1}', BOTH).hint
    assert '{"input": [...]}' in hint
    assert "[2, 3]" in hint
    assert '{"image": {"b64": "..."}}' in hint


def test_a_wrong_field_is_named_and_a_wrong_place_pointed_at() -> None:
    assert "'inputs'" in refused(b'{"inputs": [1, 2]}', vectors(2)).message
    assert "$[1]" in refused(b'[1, "x"]', vectors(2)).message
    assert "[3]" in refused(b"[1, 2, 3]", vectors(2)).message


def answered(text: str) -> Answered:
    return Answered(None, text.encode(), torch.zeros(1))


def body_of(response: wire.Response) -> Mapping[str, object]:
    decoded = json.loads(response.body)
    assert isinstance(decoded, dict)
    assert response.content_type == "application/json"
    return decoded


ONE = Request((EncodedImage(b""),), request_id="id-1")
THREE = Request((EncodedImage(b""),) * 3, many=True, request_id="id-1")
BAD = BadInput("no picture", code="bad_image", hint="send one", status=422)


def test_one_item_is_answered_with_its_answer() -> None:
    response = wire.write(ONE, [answered('{"values":[1.5]}')])
    assert (response.status, response.body, response.errors) == (200, b'{"values":[1.5]}', ())


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_is_answered_with_a_list(count: int) -> None:
    request = Request((EncodedImage(b""),) * count, many=True)
    response = wire.write(request, [answered(f'{{"values":[{index}]}}') for index in range(count)])
    assert response.status == 200
    assert body_of(response) == {"answers": [{"values": [index]} for index in range(count)]}


@pytest.mark.parametrize("response", [wire.write(ONE, [BAD]), wire.refuse(Row({}, {}, "id-1"), BAD)])
def test_an_error_says_its_code_message_hint_and_request(response: wire.Response) -> None:
    assert (response.status, response.errors) == (422, ())
    assert body_of(response) == {
        "error": {"code": "bad_image", "message": "no picture", "hint": "send one"},
        "request_id": "id-1",
    }


def test_a_list_with_bad_items_names_their_indices() -> None:
    response = wire.write(THREE, [BAD, answered("{}"), BadInput("ragged", code="wrong_shape")])
    assert (response.status, response.errors) == (400, ())
    error = body_of(response)["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["message"]) == ("bad_items", "2 of 3 items failed: 0, 2")
    assert error["items"] == [
        {"index": 0, "code": "bad_image", "message": "no picture", "hint": "send one"},
        {"index": 2, "code": "wrong_shape", "message": "ragged", "hint": ""},
    ]
    assert body_of(response)["request_id"] == "id-1"


@pytest.mark.parametrize("outcomes", [[ForwardFailed("the inside")], [BAD, ForwardFailed("the inside")]])
def test_our_own_fault_is_a_500_that_tells_nothing_and_keeps_the_error_for_the_log(
    outcomes: list[Refusal],
) -> None:
    request = Request((EncodedImage(b""),) * len(outcomes), many=len(outcomes) > 1, request_id="id-1")
    response = wire.write(request, outcomes)
    assert response.status == 500
    assert b"inside" not in response.body
    assert b"forward" not in response.body
    assert response.errors == (outcomes[-1],)
    error = body_of(response)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "internal"


FUZZ = settings(max_examples=150, deadline=None, database=None)
DECLARED = st.sampled_from([MLP, vectors(2), vectors(2, 3), vectors(2, dtype="int64"), PICTURES, BOTH])
TYPES = st.sampled_from(["", "application/json", "image/png", "text/plain"])
NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-10, 10))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5), st.just(ENCODED)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["input", "image", "b64", "x"]), inner, max_size=2),
    ),
    max_leaves=12,
)
NESTED = st.one_of(VALUES, st.lists(NUMBERS, min_size=2, max_size=2), st.lists(st.lists(NUMBERS, max_size=3)))
SEEDS = [
    saved([1.0, 2.0]),
    saved(np.ones((2, 3), ">f2")),
    saved([[1, 2]]),
    PNG,
    JPEG,
    b'{"input": [1, 2]}',
    npy((2,), b""),
]


def is_read_or_refused(body: object, declared: Model, content_type: str) -> None:
    found = read_or_refused(body, declared, content_type)
    if isinstance(found, BadInput):
        assert 400 <= found.status < 500
        response = wire.refuse(Row({}), found)
        assert json.loads(response.body)["error"]["code"] == found.code
    else:
        assert found.items
        shapes = {item.values.shape for item in found.items if isinstance(item, Numbers)}
        tensor = declared.tensor_input()
        assert not shapes or (tensor is not None and shapes == {tuple(tensor.shape)})


def read_or_refused(body: object, declared: Model, content_type: str) -> Request | BadInput:
    try:
        return read(body, declared, content_type)
    except BadInput as error:
        return error


@FUZZ
@given(body=st.binary(max_size=200), declared=DECLARED, content_type=TYPES)
def test_any_bytes_are_read_or_refused(body: bytes, declared: Model, content_type: str) -> None:
    is_read_or_refused(body, declared, content_type)


@FUZZ
@given(value=NESTED, declared=DECLARED, parsed=st.booleans())
def test_any_json_is_read_or_refused(value: object, declared: Model, parsed: bool) -> None:
    is_read_or_refused(value if parsed else json.dumps(value).encode(), declared, "application/json")


@FUZZ
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 150), st.binary(min_size=1, max_size=3)), max_size=4),
    cut=st.integers(0, 20),
    declared=DECLARED,
)
def test_mutated_arrays_images_and_json_are_read_or_refused(
    seed: bytes, changes: list[tuple[int, bytes]], cut: int, declared: Model
) -> None:
    body = bytearray(seed)
    for place, change in changes:
        body[place : place + len(change)] = change
    is_read_or_refused(bytes(body[: len(body) - cut]), declared, "")
