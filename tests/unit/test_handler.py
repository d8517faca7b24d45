"""Handler: rows in, responses out; an item answers the same alone, in a batch, and beside corrupt ones."""

from __future__ import annotations

import base64
import io
import json
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handlers.errors import BadCheckpoint, BadRecipe
from handlers.handler import Handler
from handlers.wire import Response, Row
from tests import tiny_models
from tests.bad_inputs import IMAGE, UNPICKLED, VECTOR, BadBody, base64_json, pickled, picture, saved

MODELS = Path(__file__).resolve().parents[2] / "models"


@cache
def opened(name: str) -> Handler:
    return Handler.open(MODELS / name)


def row(body: object, content_type: str = "", request_id: str = "") -> Row:
    return Row({"body": body}, {"content-type": content_type}, request_id)


def vector(*values: float) -> Row:
    return row(json.dumps(values).encode())


def predict(handler: Handler, *bodies: object) -> list[Response]:
    return handler.predict([row(body) for body in bodies])


def answer(response: Response) -> Any:
    assert response.status == 200, response.body
    assert response.errors == ()
    return json.loads(response.body)


def error(response: Response) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


def numbers(value: Any) -> list[float]:
    """All numbers of an answer, in order."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in numbers(value[key])]
    if isinstance(value, list):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, (int, float)) else []


def sample(model: str, name: str) -> bytes:
    return (MODELS / model / "samples" / name).read_bytes()


NOISE = np.random.default_rng(0).random((5, 784), np.float32)

GOOD = {
    "digits_mlp": [
        sample("digits_mlp", "seven.png"),
        sample("digits_mlp", "five.json"),
        picture("JPEG"),
        saved(NOISE[0]),
        base64_json(sample("digits_mlp", "two.png")),
        json.dumps({"input": NOISE[1].tolist()}).encode(),
        picture("WEBP", (33, 17)),
        saved(NOISE[2].astype(">f8")),
        picture("PNG", (1, 1)),
        saved(NOISE[3]),
    ],
    "digits_cnn": [
        sample("digits_cnn", "seven.png"),
        picture("JPEG"),
        saved(NOISE[:3].reshape(3, 28, 28)),
        sample("digits_cnn", "four.png"),
        picture("PNG", (33, 17)),
    ],
    "diabetes": [
        sample("diabetes", "patient1.json"),
        sample("diabetes", "patient2.json"),
        saved(NOISE[0, :10]),
        sample("diabetes", "patient3.json"),
    ],
}
CORRUPT: list[object] = [picture("JPEG")[:-100], b"[1, NaN]", b"", b"\x1f\x8b", saved([1.0])[:-1], '{"x": 1}']


@pytest.mark.parametrize("model", GOOD)
def test_an_item_answers_the_same_alone_in_a_batch_and_beside_corrupt_ones(model: str) -> None:
    handler, bodies = opened(model), GOOD[model]
    alone = [answer(predict(handler, body)[0]) for body in bodies]
    together = [answer(response) for response in predict(handler, *bodies)]
    mixed = [*CORRUPT, *(body for good in bodies for body in (good, CORRUPT[3])), *CORRUPT]
    responses = predict(handler, *mixed)
    assert [error(response) for response in responses if response.status != 200] == [
        error(predict(handler, body)[0]) for body in mixed if body not in bodies
    ]
    beside = [answer(response) for response in responses if response.status == 200]
    for other in (together, beside):
        assert len(other) == len(alone)
        for found, wanted in zip(other, alone, strict=True):
            assert numbers(found) == pytest.approx(numbers(wanted), abs=1e-5)
            if "predictions" in wanted:
                assert [one["label"] for one in found["predictions"]] == [
                    one["label"] for one in wanted["predictions"]
                ]


def test_a_list_answers_like_its_items_alone() -> None:
    handler = opened("digits_mlp")
    alone = [answer(predict(handler, saved(one))[0]) for one in NOISE]
    encoded = [json.dumps(NOISE.tolist()).encode(), saved(NOISE), saved(np.asfortranarray(NOISE))]
    for response in predict(handler, *encoded):
        found = answer(response)["answers"]
        assert len(found) == 5
        assert numbers(found) == pytest.approx(numbers(alone), abs=1e-5)


def test_a_list_of_images_answers_like_its_items_alone() -> None:
    handler = opened("digits_cnn")
    files = [sample("digits_cnn", f"{name}.png") for name in ("seven", "three", "four")]
    body = {"image": [{"b64": base64.b64encode(file).decode()} for file in files]}
    found = answer(predict(handler, json.dumps(body).encode())[0])["answers"]
    assert [one["predictions"][0]["label"] for one in found] == ["seven", "three", "four"]
    assert numbers(found) == pytest.approx(
        numbers([answer(response) for response in predict(handler, *files)]), abs=1e-5
    )


@pytest.mark.parametrize("model", ["digits_cnn", "digits_mlp"])
def test_a_list_with_bad_items_is_a_4xx_that_names_them(model: str) -> None:
    good = base64.b64encode(picture("PNG")).decode()
    cut = base64.b64encode(picture("JPEG")[:-100]).decode()
    (response,) = predict(opened(model), json.dumps([good, cut, "@", good, 5]).encode())
    assert error(response) == (400, "bad_items")
    told = json.loads(response.body)["error"]
    assert [(one["index"], one["code"]) for one in told["items"]] == [
        (1, "bad_image"),
        (2, "bad_base64"),
        (4, "wrong_type"),
    ]
    assert "1, 2, 4" in told["message"]


def test_answers_keep_the_order_of_rows_and_items(tmp_path: Path) -> None:
    handler = Handler.open(tiny_models.write(tmp_path, "return x * self.scale", batch_size=3))
    bodies: list[object] = [
        b"[[0, 0], [1, 1]]",
        b"[2, 2]",
        b"nonsense",
        b"[[3, 3]]",
        saved([[4, 4], [5, 5], [6, 6]]),
    ]
    first, second, third, fourth, fifth = predict(handler, *bodies)
    assert [one["output"] for one in answer(first)["answers"]] == [[0, 0], [1, 1]]
    assert answer(second)["output"] == [2, 2]
    assert error(third) == (400, "bad_json")
    assert [one["output"] for one in answer(fourth)["answers"]] == [[3, 3]]
    assert [one["output"] for one in answer(fifth)["answers"]] == [[4, 4], [5, 5], [6, 6]]


def test_no_rows_give_no_responses() -> None:
    assert opened("diabetes").predict([]) == []


def test_a_body_that_cannot_be_read_keeps_its_request_id() -> None:
    responses = opened("diabetes").predict([row(b"x", "", "a"), row(b"", "", "b"), row(b"[NaN]", "", "c")])
    assert [json.loads(response.body)["request_id"] for response in responses] == ["a", "b", "c"]


COUNTING = """
    with Path(__file__).with_name("seen.txt").open("a") as file:
        file.write(f"{len(x)} ")
"""


def seen(folder: Path) -> list[int]:
    return [int(count) for count in (folder / "seen.txt").read_text().split()]


@pytest.mark.parametrize(("batch_size", "chunks"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_the_network_never_sees_more_than_the_batch_size(
    batch_size: int, chunks: list[int], tmp_path: Path
) -> None:
    folder = tiny_models.write(tmp_path, COUNTING + "    return x", batch_size=batch_size)
    responses = predict(
        Handler.open(folder), b"[[1, 1], [2, 2], [3, 3], [4, 4]]", b"[5, 5]", b"[[6, 6], [7, 7]]"
    )
    assert [response.status for response in responses] == [200, 200, 200]
    assert seen(folder) == chunks


def test_where_no_item_is_good_the_network_sees_none(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, COUNTING + "    return x")
    assert [response.status for response in predict(Handler.open(folder), b"[1e39, 0]", b"x")] == [400, 400]
    assert not (folder / "seen.txt").exists()


def image_file(width: int, height: int, level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), level).save(file, "PNG")
    return file.getvalue()


def test_pictures_of_different_sizes_do_not_disturb_each_other(tmp_path: Path) -> None:
    folder = tiny_models.write(
        tmp_path,
        COUNTING + "    return x.mean((2, 3))",
        input={"kind": "image", "mode": "L", "rescale_factor": 1.0, "any_size": True},
    )
    sizes = [(5, 7), (1, 1), (5, 7), (40, 3), (1, 1), (5, 7)]
    bodies = [image_file(*size, 10 * index) for index, size in enumerate(sizes)]
    found = [answer(response)["output"] for response in predict(Handler.open(folder), *bodies)]
    assert found == [pytest.approx([10 * index]) for index in range(6)]
    assert sorted(seen(folder)) == [1, 2, 3]


FAILS_ON_13 = """
    if (x == 13).any():
        raise ValueError("a secret of the inside")
    return x
"""


@pytest.mark.parametrize("culprits", [[0], [7], [3], [2, 3], [0, 5, 6], [1, 2, 3, 4, 5, 6, 7]])
def test_a_failing_pass_is_halved_until_the_culprits_are_alone(culprits: list[int], tmp_path: Path) -> None:
    handler = Handler.open(tiny_models.write(tmp_path, FAILS_ON_13))
    responses = handler.predict([vector(13 if i in culprits else i + 20, 0) for i in range(8)])
    for index, response in enumerate(responses):
        if index in culprits:
            assert error(response) == (422, "forward_failed")
            assert b"secret" not in response.body
        else:
            assert answer(response)["output"] == [index + 20, 0]


def test_a_culprit_in_a_list_is_named_by_its_index(tmp_path: Path) -> None:
    handler = Handler.open(tiny_models.write(tmp_path, FAILS_ON_13))
    listed, neighbour = predict(handler, b"[[1, 1], [13, 1], [2, 2]]", b"[3, 3]")
    assert error(listed) == (400, "bad_items")
    assert [one["index"] for one in json.loads(listed.body)["error"]["items"]] == [1]
    assert answer(neighbour)["output"] == [3, 3]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_where_every_pass_fails_it_is_our_fault_and_the_log_gets_the_cause(
    count: int, tmp_path: Path
) -> None:
    handler = Handler.open(tiny_models.write(tmp_path, FAILS_ON_13))
    for response in handler.predict([vector(13, index) for index in range(count)]):
        assert error(response) == (500, "internal")
        for inside in (b"secret", b"ValueError", b"model.py", b"Traceback"):
            assert inside not in response.body
        (logged,) = response.errors
        text = "".join(traceback.format_exception(logged))
        assert "a secret of the inside" in text
        assert "model.py" in text


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_an_output_that_is_not_finite_is_that_items_error(value: str, tmp_path: Path) -> None:
    forward = f"return torch.where(x == 13, float('{value}'), x)"
    responses = Handler.open(tiny_models.write(tmp_path, forward)).predict(
        [vector(i, 0) for i in (12, 13, 14)]
    )
    assert [response.status for response in responses] == [200, 422, 200]
    assert error(responses[1]) == (422, "output_not_finite")


@pytest.mark.parametrize(
    ("forward", "logged"),
    [
        ("return x, x", "returned a tuple"),
        ("return {'logits': x}", "returned a dict"),
        ("return x.repeat(2, 1)", "its first dimension must be the batch"),
        ("return x.sum()", "its first dimension must be the batch"),
        ("return None", "returned a NoneType"),
    ],
)
def test_a_network_that_returns_something_else_is_our_fault(
    forward: str, logged: str, tmp_path: Path
) -> None:
    responses = Handler.open(tiny_models.write(tmp_path, forward)).predict([vector(1, 2), vector(3, 4)])
    for response in responses:
        assert error(response) == (500, "internal")
        assert logged in str(response.errors[0])
        assert logged.encode() not in response.body


def test_an_exception_in_a_custom_prepare_stays_with_its_item(tmp_path: Path) -> None:
    task_py = """
        from handlers.tasks import Tensor
        class Own(Tensor):
            def prepare(self, item):
                prepared = super().prepare(item)
                return {12.0: prepared, 14.0: prepared + 1}[float(prepared[0])]
    """
    folder = tiny_models.write(tmp_path, "return x", task_py=task_py, task="task.py:Own")
    responses = Handler.open(folder).predict([vector(i, 0) for i in (12, 13, 14)])
    assert [response.status for response in responses] == [200, 500, 200]
    assert answer(responses[2])["output"] == [15, 1]
    assert "KeyError: 13.0" in "".join(traceback.format_exception(responses[1].errors[0]))


def test_half_precision_and_whole_number_outputs_are_answered_as_float32(tmp_path: Path) -> None:
    for forward in ("return x.half()", "return x.long()", "return x.double()"):
        handler = Handler.open(tiny_models.write(tmp_path, forward))
        assert answer(predict(handler, b"[1, 2]")[0])["output"] == [1.0, 2.0]


@pytest.mark.parametrize("missing", ["weights.pth", "model.py", "labels.txt"])
def test_a_folder_that_lacks_a_file_of_its_recipe_is_not_opened(missing: str, tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "return x", task="classify", output={"labels": "labels.txt"})
    (folder / "labels.txt").write_text("a\nb\n")
    assert Handler.open(folder)
    (folder / missing).unlink()
    with pytest.raises(BadRecipe, match=rf"{missing}.*the file isn't there"):
        Handler.open(folder)


def test_weights_that_do_not_fit_are_not_opened(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "return x", architecture={"torchvision": "resnet18"})
    with pytest.raises(BadCheckpoint):
        Handler.open(folder)


def named(table: list[BadBody]) -> list[Any]:
    return [pytest.param(bad, id=bad.name) for bad in table]


def sent(bad: BadBody) -> Row:
    return row(bad.body, bad.content_type, "id-1")


def is_refused_as_it_should(bad: BadBody, response: Response) -> None:
    assert error(response) == (bad.status, bad.code)
    told = json.loads(response.body)
    assert set(told) == {"error", "request_id"}
    assert told["request_id"] == "id-1"
    assert told["error"]["message"]
    assert told["error"]["hint"]
    assert response.errors == ()
    assert len(response.body) < 2000


@pytest.mark.parametrize("bad", named(IMAGE))
def test_a_model_of_images_refuses(bad: BadBody) -> None:
    is_refused_as_it_should(bad, opened("digits_cnn").predict([sent(bad)])[0])


@pytest.mark.parametrize("bad", named(VECTOR))
def test_a_model_of_vectors_refuses(bad: BadBody) -> None:
    is_refused_as_it_should(bad, opened("diabetes").predict([sent(bad)])[0])


@pytest.mark.parametrize(("model", "table"), [("digits_cnn", IMAGE), ("diabetes", VECTOR)])
def test_all_bad_inputs_in_one_batch_leave_their_neighbours_alone(model: str, table: list[BadBody]) -> None:
    handler, good = opened(model), row(GOOD[model][0])
    alone = numbers(answer(handler.predict([good])[0]))
    responses = handler.predict([one for bad in table for one in (sent(bad), good)])
    for bad, response, neighbour in zip(table, responses[::2], responses[1::2], strict=True):
        is_refused_as_it_should(bad, response)
        assert numbers(answer(neighbour)) == pytest.approx(alone, abs=1e-5)


def test_nothing_that_is_sent_is_unpickled() -> None:
    body = pickled()
    np.load(io.BytesIO(body), allow_pickle=True)
    assert UNPICKLED.exists()  # it does create the file, where it is unpickled
    UNPICKLED.unlink()
    for model in ("digits_cnn", "diabetes"):
        assert error(predict(opened(model), body)[0]) == (400, "wrong_type")
    assert not UNPICKLED.exists()


FUZZ = settings(max_examples=150, deadline=None, database=None)
NUMBERS = st.one_of(st.integers(), st.floats(), st.floats(0, 1))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["input", "image", "b64"]), inner, max_size=2),
        st.lists(NUMBERS, min_size=1, max_size=5).map(lambda few: (few * 784)[:784]),
    ),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=300),
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON,
    st.tuples(
        st.sampled_from(GOOD["digits_mlp"]),
        st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=4),
        st.integers(0, 40),
    ).map(lambda mutation: mutated(*mutation)),
)


def mutated(body: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    changed = bytearray(body)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed[: len(changed) - cut])


@FUZZ
@given(
    bodies=st.lists(BODIES, min_size=1, max_size=4), content_type=st.sampled_from(["", "application/json"])
)
def test_whatever_is_sent_is_answered_with_200_or_4xx(bodies: list[object], content_type: str) -> None:
    rows = [row(body, content_type, "id-1") for body in bodies]
    for response in opened("digits_mlp").predict(rows):
        told = json.loads(response.body, parse_constant=lambda name: pytest.fail(f"{name} in the answer"))
        assert isinstance(told, dict)
        assert response.content_type == "application/json"
        assert response.errors == ()
        if response.status != 200:
            assert 400 <= response.status < 500
            assert told["error"]["code"]
            assert told["request_id"] == "id-1"


@pytest.mark.parametrize(
    ("bodies", "items"),
    [
        ([b"[1, 2]", b"[[3, 3], [4, 4]]"], {"ok": 3}),
        ([b"[1, 2]", b"x", b""], {"ok": 1, "bad_json": 1, "empty_body": 1}),
        ([b"[[1, 1], [1e39, 1], [13, 1]]"], {"bad_items": 1, "not_finite": 1, "forward_failed": 1}),
        ([b"[[13, 1], [13, 2]]", b"[13, 3]"], {"internal": 3}),
        ([b"[[13, 1], [1, 2]]"], {"forward_failed": 1, "bad_items": 1}),
        ([], {}),
    ],
)
def test_a_batch_counts_its_items_by_what_their_callers_were_told(
    bodies: list[object], items: dict[str, int], tmp_path: Path
) -> None:
    handler = Handler.open(tiny_models.write(tmp_path, FAILS_ON_13))
    assert handler.batch([row(body) for body in bodies]).items == items


def test_a_batch_has_the_same_responses_as_predict(tmp_path: Path) -> None:
    handler = Handler.open(tiny_models.write(tmp_path, "return x"))
    rows = [row(body) for body in (b"[1, 2]", b"x", b"[[1, 1], [1e39, 1]]")]
    bodies = [response.body for response in handler.predict(rows)]
    assert [response.body for response in handler.batch(rows).responses] == bodies


@pytest.mark.parametrize("slow", ["preparing", "network", "finishing"])
def test_each_phase_has_its_own_time(slow: str, tmp_path: Path) -> None:
    pauses = {phase: 0.05 if phase == slow else 0 for phase in ("preparing", "network", "finishing")}
    task_py = f"""
        import time
        from handlers.tasks import Tensor
        class Own(Tensor):
            def prepare(self, item):
                time.sleep({pauses["preparing"]})
                return super().prepare(item)
            def finish(self, output):
                time.sleep({pauses["finishing"]})
                return super().finish(output)
    """
    forward = f"import time; time.sleep({pauses['network']}); return x"
    handler = Handler.open(tiny_models.write(tmp_path, forward, task_py=task_py, task="task.py:Own"))
    seconds = handler.batch([row(b"[1, 2]")]).seconds
    assert set(seconds) == {"reading", *pauses}
    assert min(seconds.values()) >= 0
    assert seconds[slow] >= 0.05


def test_a_batch_without_a_good_item_has_all_phases_too(tmp_path: Path) -> None:
    handler = Handler.open(tiny_models.write(tmp_path, "return x"))
    assert len(handler.batch([row(b"x")]).seconds) == 4


OWN_TASK = """
from handlers.errors import BadInput
from handlers.tasks import Tensor


class Odd(Tensor):
    def prepare(self, item):
        tensor = super().prepare(item)
        if tensor[0] == 1:
            return None
        if tensor[0] == 2:
            raise BadInput("a surrogate \\ud800", status=499)
        return tensor
"""


def test_whatever_an_owners_task_does_wrong_stays_with_its_item(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path, "    return x", task="task.py:Odd")
    (folder / "task.py").write_text(OWN_TASK)
    bodies = [json.dumps([first, 0.0]).encode() for first in (0.0, 1.0, 2.0, 3.0)]
    found = predict(Handler.open(folder), *bodies)
    assert [response.status for response in found] == [200, 500, 499, 200]
    assert json.loads(found[2].body)["error"]["message"] == "a surrogate ?"


def test_an_index_out_of_range_is_the_callers_to_change(tmp_path: Path) -> None:
    folder = tiny_models.write(
        tmp_path,
        "    return torch.eye(5)[x].sum(1)",
        input={"kind": "tensor", "shape": [3], "dtype": "int64", "minimum": 0, "maximum": 4},
    )
    found = predict(Handler.open(folder), b"[0, 1, 4]", b"[0, 1, 5]", b"[-1, 0, 0]")
    assert [response.status for response in found] == [200, 400, 400]
    assert json.loads(found[1].body)["error"]["code"] == "out_of_range"
