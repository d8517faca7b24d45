"""The messages of the Open Inference Protocol's gRPC service, described as data.

From specification/protocol/open_inference_grpc.proto of kserve/open-inference-protocol, with the two choices
of InferParameter that only Triton has. Nothing is generated, so they travel to a worker as this file; the
pool is our own, because a client in the same process brings messages of the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

Fields: TypeAlias = tuple[str, ...]
"""Each "number type name": as in the .proto, without its semicolons."""

_PARAMETERS = "map InferParameter"

_TENSOR: Fields = (
    "1 string name",
    "2 string datatype",
    "3 repeated int64 shape",
    f"4 {_PARAMETERS} parameters",
    "5 InferTensorContents contents",
)

MESSAGES: Mapping[str, Fields] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": ("1 string name", "2 string version"),
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("1 string name", "2 string version", "3 repeated string extensions"),
    "ModelMetadataRequest": ("1 string name", "2 string version"),
    "ModelMetadataResponse.TensorMetadata": ("1 string name", "2 string datatype", "3 repeated int64 shape"),
    "ModelMetadataResponse": (
        "1 string name",
        "2 repeated string versions",
        "3 string platform",
        "4 repeated ModelMetadataResponse.TensorMetadata inputs",
        "5 repeated ModelMetadataResponse.TensorMetadata outputs",
        "6 map string properties",
    ),
    "InferParameter": (
        "1 oneof bool bool_param",
        "2 oneof int64 int64_param",
        "3 oneof string string_param",
        "4 oneof double double_param",
        "5 oneof uint64 uint64_param",
    ),
    "InferTensorContents": (
        "1 repeated bool bool_contents",
        "2 repeated int32 int_contents",
        "3 repeated int64 int64_contents",
        "4 repeated uint32 uint_contents",
        "5 repeated uint64 uint64_contents",
        "6 repeated float fp32_contents",
        "7 repeated double fp64_contents",
        "8 repeated bytes bytes_contents",
    ),
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": ("1 string name", f"2 {_PARAMETERS} parameters"),
    "ModelInferRequest": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_PARAMETERS} parameters",
        "5 repeated ModelInferRequest.InferInputTensor inputs",
        "6 repeated ModelInferRequest.InferRequestedOutputTensor outputs",
        "7 repeated bytes raw_input_contents",
    ),
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "ModelInferResponse": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_PARAMETERS} parameters",
        "5 repeated ModelInferResponse.InferOutputTensor outputs",
        "6 repeated bytes raw_output_contents",
    ),
}
"""By name, in which a dot leads into the message that it is nested in."""

_Field: TypeAlias = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_Field, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="open_inference_grpc.proto", package=PACKAGE, syntax="proto3"
    )
    described: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name in sorted(MESSAGES, key=lambda name: name.count(".")):  # the outer ones first
        outer, _, inner = name.rpartition(".")
        message = described[outer].nested_type.add() if outer else file.message_type.add()
        message.name = inner
        described[name] = message
        for line in MESSAGES[name]:
            _describe(message, name, line)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _describe(message: descriptor_pb2.DescriptorProto, path: str, line: str) -> None:
    number, *labels, kind, name = line.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if labels == ["oneof"]:
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    elif labels:
        field.label = _Field.LABEL_REPEATED
    if labels == ["map"]:  # on the wire a list of pairs, whose message protoc names after the field
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _typed(entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL), "string")
        _typed(entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL), kind)
        kind = f"{path}.{entry.name}"
    _typed(field, kind)


def _typed(field: _Field, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"


_known = _pool()


def message(name: str) -> Any:
    """The class of one of MESSAGES; a nested one is an attribute of its outer one, too."""
    return message_factory.GetMessageClass(_known.FindMessageTypeByName(f"{PACKAGE}.{name}"))


ServerLiveRequest = message("ServerLiveRequest")
ServerLiveResponse = message("ServerLiveResponse")
ServerReadyRequest = message("ServerReadyRequest")
ServerReadyResponse = message("ServerReadyResponse")
ModelReadyRequest = message("ModelReadyRequest")
ModelReadyResponse = message("ModelReadyResponse")
ServerMetadataRequest = message("ServerMetadataRequest")
ServerMetadataResponse = message("ServerMetadataResponse")
ModelMetadataRequest = message("ModelMetadataRequest")
ModelMetadataResponse = message("ModelMetadataResponse")
InferParameter = message("InferParameter")
InferTensorContents = message("InferTensorContents")
ModelInferRequest = message("ModelInferRequest")
ModelInferResponse = message("ModelInferResponse")
