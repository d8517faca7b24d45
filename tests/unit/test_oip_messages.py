"""The gRPC messages, described as data: what others encode is read and written byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.wire import oip_messages
from handlers.wire.oip_messages import MESSAGES, ModelInferRequest, ModelInferResponse, ModelMetadataResponse
from tests import foreign_bytes

SENT = [
    foreign_bytes.GRPC_FLOATS,
    foreign_bytes.GRPC_HALVES,
    foreign_bytes.GRPC_NAMED,
    foreign_bytes.GRPC_INT64,
    foreign_bytes.GRPC_PICTURES,
]


@pytest.mark.parametrize("sent", SENT)
def test_what_tritonclient_sends_is_read_and_written_alike(sent: bytes) -> None:
    read = ModelInferRequest.FromString(sent)
    assert (read.model_name, read.id, len(read.inputs)) == ("tiny", "r-1", 1)
    assert read.SerializeToString() == sent


@pytest.mark.parametrize("name", [name for name in MESSAGES if "." not in name])
def test_every_message_has_a_class(name: str) -> None:
    assert oip_messages.message(name).DESCRIPTOR.full_name == f"inference.{name}"
    assert oip_messages.message(name).FromString(b"").SerializeToString() == b""


def test_a_message_is_what_the_protocol_says_byte_for_byte() -> None:
    response = ModelInferResponse(model_name="m", model_version="1", id="a", raw_output_contents=[b"\1\2"])
    response.parameters["p"].bool_param = True
    output = response.outputs.add(name="o", datatype="INT32", shape=[-1, 300])
    output.contents.int_contents.extend([1, -1])
    assert response.SerializeToString() == (
        b"\x0a\x01m\x12\x011\x1a\x01a"
        b"\x22\x07\x0a\x01p\x12\x02\x08\x01"
        b"\x2a\x27\x0a\x01o\x12\x05INT32\x1a\x0c\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xac\x02"
        b"\x2a\x0d\x12\x0b\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
        b"\x32\x02\x01\x02"
    )


def test_metadata_has_tensors_and_properties() -> None:
    metadata = ModelMetadataResponse(name="m", versions=["1", "2"], platform="p", properties={"a": "b"})
    metadata.inputs.add(name="i", datatype="FP32", shape=[-1, 2])
    read = ModelMetadataResponse.FromString(metadata.SerializeToString())
    assert (list(read.inputs[0].shape), dict(read.properties)) == ([-1, 2], {"a": "b"})
    assert read.SerializeToString().endswith(b"\x32\x06\x0a\x01a\x12\x01b")


def test_a_parameter_is_one_thing_at_a_time() -> None:
    parameter = oip_messages.InferParameter(int64_param=3)
    parameter.string_param = "x"
    assert parameter.WhichOneof("parameter_choice") == "string_param"
    assert parameter.SerializeToString() == b"\x1a\x01x"


def test_the_pool_is_our_own() -> None:
    """So that a client in the same process can bring messages of the same names."""
    assert ModelInferRequest.DESCRIPTOR.file.pool is not descriptor_pool.Default()


TENSORS = st.fixed_dictionaries(
    {
        "name": st.text(max_size=5),
        "datatype": st.sampled_from(["FP32", "BYTES", ""]),
        "shape": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
        "contents": st.fixed_dictionaries({"bytes_contents": st.lists(st.binary(max_size=4), max_size=3)}),
    }
)


@settings(deadline=None, database=None)
@given(inputs=st.lists(TENSORS, max_size=3), raw=st.lists(st.binary(max_size=5), max_size=3))
def test_whatever_a_request_holds_comes_back(inputs: list[dict[str, Any]], raw: list[bytes]) -> None:
    request = ModelInferRequest(model_name="m", inputs=inputs, raw_input_contents=raw)
    read = ModelInferRequest.FromString(request.SerializeToString())
    assert [one.name for one in read.inputs] == [one["name"] for one in inputs]
    assert [list(one.contents.bytes_contents) for one in read.inputs] == [
        one["contents"]["bytes_contents"] for one in inputs
    ]
    assert list(read.raw_input_contents) == raw
