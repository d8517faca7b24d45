"""One answer, whatever the protocol: the same items through the whole handler by each of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from handlers import outline
from handlers.handler import Handler
from handlers.signature import TensorSpec
from handlers.wire import KSERVE_V1, OIP, OIP_GRPC, PROTOCOL, Response, Row
from handlers.wire.oip_messages import ModelInferRequest, ModelInferResponse
from tests import tiny_models
from tests.bad_inputs import picture

MODELS = Path(__file__).resolve().parents[2] / "models"

FORWARD = """
if (x == 13).any():
    raise ValueError('the inside')
return x * self.scale + torch.tensor([0.1, 0.2])
"""
TENSOR = {"task": "tensor"}
CLASSIFY = {"task": "classify", "output": {"labels": ["ä", "b"], "top_k": 2}}
REGRESS = {"task": "regress", "output": {"names": ["one", "two"]}}
OWN = {
    "task": "task.py:Own",
    "task_py": """
        from handlers.tasks import Task

        class Own(Task):
            def finish(self, output):
                return {"sum": float(output.sum())}
    """,
}
KINDS = [TENSOR, CLASSIFY, REGRESS, OWN]
VALUES = [[0.5, -1.25], [0.7, 3.0], [1e-3, 123456.789]]


def opened(folder: Path, **handler: Any) -> Handler:
    return Handler.open(tiny_models.write(folder / "m", FORWARD, **handler))


def row(protocol: str | None, body: bytes, length: int | None = None) -> Row:
    headers = {} if protocol is None else {PROTOCOL: protocol}
    if length is not None:
        headers["inference-header-content-length"] = str(length)
    return Row({"body": body}, headers, "id-1")


def as_predictions(items: list[list[float]]) -> Row:
    return row(None, json.dumps(items).encode())


def as_kserve(items: list[list[float]]) -> Row:
    return row(KSERVE_V1, json.dumps({"instances": items}).encode())


def as_oip(items: list[list[float]]) -> Row:
    tensor = {"name": "input", "datatype": "FP32", "shape": [len(items), 2], "data": items}
    return row(OIP, json.dumps({"inputs": [tensor]}).encode())


def as_binary(items: list[list[float]]) -> Row:
    raw = np.float32(items).tobytes()
    parameters = {"binary_data_size": len(raw)}
    tensor = {"name": "input", "datatype": "FP32", "shape": [len(items), 2], "parameters": parameters}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return row(OIP, text + raw, len(text))


def as_grpc(items: list[list[float]]) -> Row:
    tensor = {"name": "input", "datatype": "FP32", "shape": [len(items), 2]}
    sent = ModelInferRequest(inputs=[tensor], raw_input_contents=[np.float32(items).tobytes()])
    return row(OIP_GRPC, sent.SerializeToString())


WAYS: list[Callable[[list[list[float]]], Row]] = [as_predictions, as_kserve, as_oip, as_binary, as_grpc]

DTYPES = {"FP32": "<f4", "INT64": "<i8"}


def texts(raw: bytes) -> list[str]:
    found = []
    while raw:
        size = int.from_bytes(raw[:4], "little")
        found.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    return found


def unpacked(raw: bytes, datatype: str) -> list[Any]:
    return texts(raw) if datatype == "BYTES" else np.frombuffer(raw, DTYPES[datatype]).tolist()


def tensors(response: Response) -> dict[str, tuple[str, list[int], list[Any]]]:
    """Name -> datatype, shape and flat values, of a response in any form of the Open Inference Protocol."""
    assert response.status == 200, response.body
    if response.content_type == "application/x-protobuf":
        message = ModelInferResponse.FromString(response.body)
        return {
            one.name: (one.datatype, list(one.shape), unpacked(raw, one.datatype))
            for one, raw in zip(message.outputs, message.raw_output_contents, strict=True)
        }
    length = int(response.headers.get("inference-header-content-length", len(response.body)))
    tail, found = response.body[length:], {}
    for one in json.loads(response.body[:length])["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size", 0)
        data = unpacked(tail[:size], one["datatype"]) if size else one["data"]
        found[one["name"]] = (one["datatype"], one["shape"], data)
        tail = tail[size:]
    return found


@pytest.mark.parametrize("kind", KINDS, ids=["tensor", "classify", "regress", "own"])
@pytest.mark.parametrize("count", [1, 3])
def test_answers_are_equal_by_every_protocol(tmp_path: Path, kind: dict[str, Any], count: int) -> None:
    handler = opened(tmp_path, **kind)
    plain, kserve, oip, binary, grpc = handler.predict([way(VALUES[:count]) for way in WAYS])
    answers = json.loads(plain.body)["answers"]
    assert json.loads(kserve.body) == {"predictions": answers}
    assert tensors(oip) == tensors(binary) == tensors(grpc)
    for name, (datatype, shape, data) in tensors(grpc).items():
        assert shape[0] == count
        wanted = [value for answer in answers for value in flat(answer, name)]
        assert data == (np.float32(wanted).tolist() if datatype == "FP32" else wanted)


def flat(answer: dict[str, Any], name: str) -> list[Any]:
    """What an item's JSON has for a tensor."""
    if name in ("label", "index", "score"):
        return [one[name] for one in answer["predictions"]]
    if name == "answer":
        return [json.dumps(answer, separators=(",", ":"))]
    values: list[Any] = answer[name]
    return values


@pytest.mark.parametrize("way", WAYS)
def test_a_row_stays_what_it_is_beside_rows_of_other_protocols(tmp_path: Path, way: Any) -> None:
    handler = opened(tmp_path)
    alone = handler.predict([way(VALUES)])
    bad = [row(protocol, b"\xff") for protocol in (None, KSERVE_V1, OIP, OIP_GRPC)]
    together = handler.predict([bad[0], bad[1], way(VALUES), bad[2], bad[3]])
    assert together[2] == alone[0]
    assert [response.status for response in together] == [415, 400, 200, 400, 400]


def test_an_item_that_fails_is_named_in_the_words_of_each_protocol(tmp_path: Path) -> None:
    handler = opened(tmp_path)
    items = [VALUES[0], [13.0, 0.0], VALUES[1]]
    responses = handler.predict([way(items) for way in WAYS])
    assert {response.status for response in responses} == {400}
    plain, kserve, oip, binary, grpc = responses
    wanted = json.loads(plain.body)["error"]
    assert (wanted["code"], [item["index"] for item in wanted["items"]]) == ("bad_items", [1])
    for response in (kserve, oip, binary):
        told = json.loads(response.body)
        assert (told["error"], told["code"], told["items"]) == (
            f"{wanted['message']}; {wanted['hint']}",
            "bad_items",
            wanted["items"],
        )
    assert json.loads(unquote(grpc.headers["grpc-message"]))["error"] == wanted
    assert (grpc.headers["grpc-status"], grpc.body) == ("3", b"")
    assert all("the inside" in str(response.errors[0].__cause__) for response in responses)


def test_what_fails_alone_fails_as_itself(tmp_path: Path) -> None:
    """As ours, because none in its batch passed."""
    handler = opened(tmp_path)
    for way in WAYS:
        (response,) = handler.predict([way([[13.0, 0.0]])])
        assert response.status == 500
        assert b"inside" not in response.body
    assert response.headers["grpc-status"] == "13"


def test_an_unknown_output_fails_its_own_row_only(tmp_path: Path) -> None:
    handler = opened(tmp_path)
    tensor = {"name": "input", "datatype": "FP32", "shape": [2], "data": [1, 2]}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "x"}]}).encode()
    batch = handler.batch([row(OIP, body), as_oip(VALUES)])
    refused, good = batch.responses
    assert (refused.status, json.loads(refused.body)["code"], good.status) == (400, "wrong_field", 200)


def test_items_whose_outputs_differ_in_shape(tmp_path: Path) -> None:
    own = """
        from handlers.tasks import Tensor

        class Own(Tensor):
            def finish(self, output):
                return super().finish(output[: int(output[0])])
    """
    handler = opened(tmp_path, task="task.py:Own", task_py=own)
    for way in (as_oip, as_binary, as_grpc):
        (response,) = handler.predict([way([[1, 1], [2, 1]])])
        assert response.status == 400
    (response,) = handler.predict([as_kserve([[1, 1], [2, 1]])])
    assert response.status == 200


def test_an_unheard_of_protocol_is_predictions(tmp_path: Path) -> None:
    handler = opened(tmp_path)
    plain, other = handler.predict([row(None, b"[1, 2]"), row("soap", b"[1, 2]")])
    assert plain == other
    assert [response.status for response in handler.predict([row("soap", b"")])] == [400]


def test_pictures_are_classified_alike() -> None:
    handler = Handler.open(MODELS / "digits_mlp")
    sample = (MODELS / "digits_mlp" / "samples" / "seven.png").read_bytes()
    text = base64.b64encode(sample).decode()
    tensor = {"name": "image", "datatype": "BYTES", "shape": [2]}
    sent = ModelInferRequest(inputs=[{**tensor, "contents": {"bytes_contents": [sample, picture("PNG")]}}])
    other = base64.b64encode(picture("PNG")).decode()
    plain, kserve, oip, grpc = handler.predict(
        [
            row(None, sample),
            row(KSERVE_V1, json.dumps({"instances": [{"b64": text}, other]}).encode()),
            row(OIP, json.dumps({"inputs": [{**tensor, "data": [text, other]}]}).encode()),
            row(OIP_GRPC, sent.SerializeToString()),
        ]
    )
    wanted = json.loads(plain.body)["predictions"]
    assert json.loads(kserve.body)["predictions"][0]["predictions"] == wanted
    assert tensors(oip) == tensors(grpc)
    _, shape, labels = tensors(oip)["label"]
    assert (shape, labels[:3]) == ([2, 3], [one["label"] for one in wanted])


def test_outputs_are_described_by_a_sample() -> None:
    folder = MODELS / "digits_mlp"
    assert outline.outputs(Handler.open(folder), folder) == (
        TensorSpec("label", "BYTES", (-1, 3)),
        TensorSpec("index", "INT64", (-1, 3)),
        TensorSpec("score", "FP32", (-1, 3)),
    )


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (TENSOR, [TensorSpec("output", "FP32", (-1, 2))]),
        (REGRESS, [TensorSpec("values", "FP32", (-1, 2))]),
        (OWN, [TensorSpec("answer", "BYTES", (-1,))]),
        (
            {"input": {"kind": "tensor", "shape": [2], "minimum": 1, "maximum": 2}},
            [TensorSpec("output", "FP32", (-1, 2))],
        ),
        (
            {"input": {"kind": "tensor", "shape": [2], "dtype": "int64"}},
            [TensorSpec("output", "FP32", (-1, 2))],
        ),
        ({"input": {"kind": "tensor", "shape": [2], "minimum": 13, "maximum": 14}}, []),
        ({"input": {"kind": "image", "resize": [2, 2]}}, []),
    ],
)
def test_outputs_without_a_sample_are_tried_within_the_range(
    tmp_path: Path, kind: dict[str, Any], wanted: list[TensorSpec]
) -> None:
    handler = opened(tmp_path, **kind)
    assert list(outline.outputs(handler, tmp_path / "m")) == wanted


def test_an_owners_tensors_that_fail_leave_no_outputs(tmp_path: Path) -> None:
    own = """
        import numpy as np
        from handlers.answers import Answer
        from handlers.tasks import Task

        class Given(Answer, frozen=True):
            a: int

            def tensors(self):
                return {"a": np.array([1j])}

        class Own(Task):
            def finish(self, output):
                return Given(1)
    """
    handler = opened(tmp_path, task="task.py:Own", task_py=own)
    assert outline.outputs(handler, tmp_path / "m") == ()
    plain, oip = handler.predict([as_predictions(VALUES), as_oip(VALUES)])
    assert (plain.status, oip.status, len(oip.errors)) == (200, 500, 1)
