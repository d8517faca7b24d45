"""An answer as it came -> what is compared of it: the same tree for the same answer, whatever its encoding.

Left out is what differs although the answers don't: the version, and the request's id.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
import numpy as np
from google.protobuf.message import DecodeError

from handlers.wire import oip_messages
from scripts.calling.inference import Reply

OWN = ("model_version", "request_id", "id")

BINARY = "inference-header-content-length"
"""The header that tells where JSON ends and tensors begin."""

MESSAGE = "grpc-message"
"""The header with the text of a refusal over gRPC, percent-encoded: the JSON of other refusals."""

DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Of the Open Inference Protocol, as numpy has them in raw bytes; BYTES are texts with their lengths."""


class Unreadable(ValueError):
    """A body of no form that is known here: its bytes can be compared, and no more."""


def content(reply: Reply) -> bytes:
    """What it says: its body, or where it has none the message in its header."""
    return reply.body or unquote_to_bytes(reply.headers.get(MESSAGE, ""))


def read(reply: Reply, protocol: str) -> object:
    """What JSON decodes to, OIP's outputs by their names; raises Unreadable."""
    try:
        if protocol == "oip_grpc" and reply.body:  # refusals have none
            return _named(_from_grpc(reply.body))
        said = content(reply)
        head = int(reply.headers.get(BINARY, len(said)))
        tree = msgspec.json.decode(said[:head])
        if not isinstance(tree, dict):
            return tree
        if protocol == "oip" and isinstance(tree.get("outputs"), list):
            return _named(_from_json(tree["outputs"], said[head:]))
        return {key: one for key, one in tree.items() if key not in OWN}
    except (
        msgspec.DecodeError,
        DecodeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
    ) as error:
        raise Unreadable(f"{type(error).__name__}: {error}"[:200]) from None


Tensor = tuple[str, list[int], list[Any]]
"""Datatype, shape, and values in their order."""


def _from_json(outputs: list[Any], tail: bytes) -> Mapping[str, Tensor]:
    found, at = {}, 0
    for one in outputs:
        size = (one.get("parameters") or {}).get("binary_data_size")
        if size is None:
            values = list(_flat(one["data"]))
        else:
            values, at = _raw(one["datatype"], tail[at : at + size]), at + size
        found[one["name"]] = (one["datatype"], list(one["shape"]), values)
    return found


def _from_grpc(body: bytes) -> Mapping[str, Tensor]:
    message: Any = oip_messages.message("ModelInferResponse")()
    message.ParseFromString(body)
    raw = message.raw_output_contents
    found = {}
    for index, one in enumerate(message.outputs):
        values: list[Any]
        if index < len(raw):
            values = _raw(one.datatype, raw[index])
        else:
            values = [_plain(value) for _, part in one.contents.ListFields() for value in part]
        found[one.name] = (one.datatype, list(one.shape), values)
    return found


def _raw(datatype: str, content: bytes) -> list[Any]:
    if datatype != "BYTES":
        return list(np.frombuffer(content, DTYPES[datatype]).tolist())
    found, at = [], 0
    while at < len(content):
        (size,) = struct.unpack_from("<I", content, at)
        found.append(_plain(content[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _flat(values: Any) -> Iterable[Any]:
    if not isinstance(values, list):
        yield values
        return
    for one in values:
        yield from _flat(one)


def _named(outputs: Mapping[str, Tensor]) -> object:
    """By name; what classify answers as it does in JSON, an item's labels with their scores."""
    rest = {name: list(one) for name, one in outputs.items()}
    label, score = outputs.get("label"), outputs.get("score")
    if label is None or score is None or label[1] != score[1] or not label[1]:
        return rest
    index = outputs.get("index", ("", [], []))[2]
    count = math.prod(label[1][1:])
    listed = [
        {"label": one, "score": value, **({"index": index[at]} if len(index) == len(label[2]) else {})}
        for at, (one, value) in enumerate(zip(label[2], score[2], strict=True))
    ]
    for name in ("label", "score", "index"):
        rest.pop(name, None)
    return {**rest, "items": [listed[at : at + count] for at in range(0, len(listed), max(count, 1))]}
