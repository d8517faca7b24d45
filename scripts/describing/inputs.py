"""What a model's requests may look like, as JSON schemas, exact to the number of values."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import UNSET

from handlers.recipe import Model, TensorInput
from handlers.signature import IMAGE, NUMBERS, Integer
from handlers.wire.oip_answers import RAW
from scripts.describing.card import Card

Schema = dict[str, Any]

FLOAT32 = 3.4028234663852886e38
"""The largest; what is beyond it is refused."""

INT64 = 2**63

ALIKE: dict[str, list[str]] = {
    "FP32": ["FP32", "FP64"],
    "INT64": list(get_args(Integer)),
    "BYTES": ["BYTES"],
}
"""Datatypes that are taken for a declared one, and whose values in JSON are of the same form."""

BINARY: Schema = {"type": "string", "format": "binary"}
"""Bytes as they are."""

BASE64: Schema = {
    "type": "string",
    "format": "byte",
    "contentEncoding": "base64",
    "minLength": 4,
    "description": "a picture's file in base64, or a data URL of it",
}

PICTURE: Schema = {"anyOf": [{"$ref": "#/components/schemas/Base64"}, {"$ref": "#/components/schemas/B64"}]}
B64: Schema = {
    "type": "object",
    "properties": {"b64": {"$ref": "#/components/schemas/Base64"}},
    "required": ["b64"],
    "additionalProperties": False,
}
SHARED: dict[str, Schema] = {"Base64": BASE64, "B64": B64, "Picture": PICTURE}
"""Components that the schemas here refer to."""

_PICTURE: Schema = {"$ref": "#/components/schemas/Picture"}


def item(tensor: TensorInput) -> Schema:
    """One item's numbers, nested as its shape says."""
    found = _number(tensor)
    for size in reversed(tensor.shape):
        found = {"type": "array", "items": found, "minItems": size, "maxItems": size}
    return found


def predictions(model: Model) -> Schema:
    """JSON at /predictions/NAME: one item or many, bare or in an object."""
    forms: list[Schema] = []
    if (tensor := model.tensor_input()) is not None:
        one = item(tensor)
        values: list[Schema] = [one, _many(one, model)]
        forms += [_object("input", {"anyOf": values}), *values]
    if model.image_input() is not None:
        alone = _object("image", _PICTURE)
        forms += [alone, _object("image", _many(_PICTURE, model)), _many({"anyOf": [alone, _PICTURE]}, model)]
    return {"anyOf": forms}


def form() -> Schema:
    """One field, whatever its name."""
    return {
        "type": "object",
        "properties": {"image": BINARY},
        "required": ["image"],
        "additionalProperties": False,
    }


def instances(model: Model) -> Schema:
    """KServe's first protocol: {"instances": [...]}."""
    forms: list[Schema] = []
    if (tensor := model.tensor_input()) is not None:
        one = item(tensor)
        forms += [one, _object("input", one)] + ([_number(tensor)] if tensor.shape == [1] else [])
    if model.image_input() is not None:
        forms += [_PICTURE, _object("image", _PICTURE), _object("image_bytes", B64)]
    listed = {"type": "array", "items": {"anyOf": forms}, "minItems": 1, "maxItems": model.max_items}
    return {"type": "object", "properties": {"instances": listed}, "required": ["instances"]}


def inference(model: Model, card: Card) -> Schema:
    """The Open Inference Protocol: one named tensor; the first number of its shape is that of the items."""
    tensors: list[Schema] = []
    if (tensor := model.tensor_input()) is not None:
        tensors.append(_tensor(NUMBERS, tensor, model))
    if model.image_input() is not None:
        tensors.append(_tensor(IMAGE, None, model))
    flag = {"type": "boolean"}
    outputs = {
        "type": "object",
        "properties": {
            "name": {"enum": [*(one.name for one in card.outputs), RAW]},
            "parameters": {"type": "object", "properties": {"binary_data": flag}},
        },
        "required": ["name"],
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": {"binary_data_output": flag}},
            "inputs": {"type": "array", "items": {"anyOf": tensors}, "minItems": 1, "maxItems": 1},
            "outputs": {"type": "array", "items": outputs},
        },
        "required": ["inputs"],
    }


def _tensor(name: str, tensor: TensorInput | None, model: Model) -> Schema:
    """A named input; `data` is nested like its shape, or flat. None for pictures."""
    items: Schema = {"type": "integer", "minimum": 1, "maximum": model.max_items}
    sizes = [] if tensor is None else [{"const": size} for size in tensor.shape]
    declared = "BYTES" if tensor is None else "INT64" if tensor.dtype == "int64" else "FP32"
    if tensor is None:
        values: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/Base64"}, "minItems": 1}
    else:
        flat = {"type": "array", "items": _number(tensor), "minItems": 1}
        values = {"anyOf": [_many(item(tensor), model), flat]}
    rank = 1 + len(sizes)
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            "datatype": {"enum": ALIKE[declared]},
            "shape": {"type": "array", "prefixItems": [items, *sizes], "minItems": rank, "maxItems": rank},
            "data": values,
        },
        "required": ["name", "datatype", "shape", "data"],
    }


def _number(tensor: TensorInput) -> Schema:
    whole = tensor.dtype == "int64"
    least, most = (-INT64, INT64 - 1) if whole else (-FLOAT32, FLOAT32)
    return {
        "type": "integer" if whole else "number",
        "minimum": least if tensor.minimum is UNSET else tensor.minimum,
        "maximum": most if tensor.maximum is UNSET else tensor.maximum,
    }


def _many(one: Schema, model: Model) -> Schema:
    return {"type": "array", "items": one, "minItems": 1, "maxItems": model.max_items}


def _object(key: str, value: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {key: value},
        "required": [key],
        "additionalProperties": False,
    }
