"""The same answer is the same tree in every encoding; what can't be read is said to be so."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from handlers.errors import BadInput
from handlers.wire import oip_grpc, oip_json
from handlers.wire.oip_messages import message
from scripts.calling.inference import Reply
from scripts.shadowing.reading import Unreadable, read

SCORES = [0.5, 0.25, 0.875, 0.0625]
TREE = {
    "items": [
        [{"label": "cat", "score": 0.5, "index": 3}, {"label": "dög", "score": 0.25, "index": 4}],
        [{"label": "eel", "score": 0.875, "index": 5}, {"label": "cat", "score": 0.0625, "index": 3}],
    ]
}
LABELS, INDICES = ["cat", "dög", "eel", "cat"], [3, 4, 5, 3]


def raw_texts(texts: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def outputs(**more: Any) -> dict[str, Any]:
    listed = [
        {"name": "label", "datatype": "BYTES", "shape": [2, 2], "data": LABELS},
        {"name": "index", "datatype": "INT64", "shape": [2, 2], "data": INDICES},
        {"name": "score", "datatype": "FP32", "shape": [2, 2], "data": [SCORES[:2], SCORES[2:]]},
    ]
    return {"model_name": "a", "model_version": "1", "id": "x", "outputs": listed, **more}


def reply(body: bytes, **headers: str) -> Reply:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(200, body, "application/json", named)


def test_json_is_read_without_what_differs_between_versions() -> None:
    body = b'{"values": [1.5], "model_version": "2.0", "request_id": "r"}'
    assert read(reply(body), "") == {"values": [1.5]}
    assert read(reply(b"[1, 2]"), "kserve_v1") == [1, 2]


def test_oip_is_read_by_item_with_its_labels_in_any_encoding() -> None:
    assert read(reply(json.dumps(outputs()).encode()), "oip") == TREE
    parts = [raw_texts(LABELS), np.array(INDICES, "<i8").tobytes(), np.array(SCORES, "<f4").tobytes()]
    described = outputs()
    for one, part in zip(described["outputs"], parts, strict=True):
        del one["data"]
        one["parameters"] = {"binary_data_size": len(part)}
    head = json.dumps(described).encode()
    whole = reply(head + b"".join(parts), inference_header_content_length=str(len(head)))
    assert read(whole, "oip") == TREE


@pytest.mark.parametrize("raw", [True, False])
def test_oip_by_grpc_is_read_alike(raw: bool) -> None:
    found = message("ModelInferResponse")(model_name="a", model_version="2")
    for name, datatype in (("label", "BYTES"), ("index", "INT64"), ("score", "FP32")):
        found.outputs.add(name=name, datatype=datatype, shape=[2, 2])
    if raw:
        found.raw_output_contents.extend(
            [raw_texts(LABELS), np.array(INDICES, "<i8").tobytes(), np.array(SCORES, "<f4").tobytes()]
        )
    else:
        found.outputs[0].contents.bytes_contents.extend(text.encode() for text in LABELS)
        found.outputs[1].contents.int64_contents.extend(INDICES)
        found.outputs[2].contents.fp32_contents.extend(SCORES)
    assert read(reply(found.SerializeToString()), "oip_grpc") == TREE


def test_outputs_without_labels_stand_by_their_names() -> None:
    listed = [{"name": "values", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}]
    assert read(reply(json.dumps(outputs(outputs=listed)).encode()), "oip") == {
        "values": ["FP32", [1, 2], [1.5, 2.5]]
    }


def test_refusals_are_read_alike_though_grpc_has_them_in_a_header() -> None:
    failed = BadInput("no such input: “y”", code="no_input", hint="send x")
    for protocol, refused in (
        ("oip", oip_json.refuse("r", failed)),
        ("oip_grpc", oip_grpc.refuse("r", failed)),
    ):
        told = str(read(Reply(400, refused.body, refused.content_type, refused.headers), protocol))
        assert "no such input: “y”" in told
        assert "request_id" not in told
    assert refused.body == b"", "as gRPC has it"


def test_parameters_may_be_null_as_protobuf_writes_what_isnt_there() -> None:
    listed = [{"name": "a", "datatype": "FP32", "shape": [1], "data": [1.5], "parameters": None}]
    assert read(reply(json.dumps(outputs(outputs=listed)).encode()), "oip") == {"a": ["FP32", [1], [1.5]]}


@pytest.mark.parametrize(
    ("body", "protocol"),
    [
        (b"\xff\xd8picture", ""),
        (b"", ""),
        (b"\xff\xff\xff", "oip_grpc"),
        (b"", "oip_grpc"),
        (b'{"outputs": [null]}', "oip"),
        (b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": [1], "parameters": "none"}]}', "oip"),
        (b'{"outputs": [{"name": "a", "datatype": "FP32", "shape": [1]}]}', "oip"),
        (
            b'{"outputs": [{"name": "a", "datatype": "BF16", "shape": [1],'
            b' "parameters": {"binary_data_size": 2}}]}',
            "oip",
        ),
    ],
)
def test_what_cant_be_read_is_said_to_be_so(body: bytes, protocol: str) -> None:
    with pytest.raises(Unreadable):
        read(reply(body), protocol)
