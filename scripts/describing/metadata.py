"""A card in the words of the Open Inference Protocol, as JSON and as the messages of its gRPC service."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from handlers.signature import TensorSpec
from handlers.wire import oip_messages
from scripts.describing.card import Card, CheckpointFile, Runtime
from scripts.places import ROOT

SERVER = "pthserve"

BINARY = "binary_tensor_data"
"""The extension by which tensors follow the JSON as bytes."""


class ServerMetadata(Struct, frozen=True):
    """Answer to GET /v2."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ModelParameters(Struct, frozen=True):
    """What the protocol has no words for."""

    version: str
    task: str
    description: str
    labels: tuple[str, ...] | None
    runtime: Runtime
    checkpoint: CheckpointFile
    assumed: tuple[str, ...]
    self_recorded: tuple[str, ...]
    """Samples whose answers nobody but this model gave."""


class ModelMetadata(Struct, frozen=True):
    """Answer to GET /v2/models/NAME and /v2/models/NAME/versions/VERSION."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: ModelParameters


def server() -> ServerMetadata:
    return ServerMetadata(SERVER, version(), (BINARY,))


def model(card: Card) -> ModelMetadata:
    parameters = ModelParameters(
        card.version,
        card.task,
        card.description,
        card.labels,
        card.runtime,
        card.checkpoint,
        card.assumed,
        card.self_recorded,
    )
    platform = f"pytorch_{card.runtime.executes.partition(' ')[0]}"
    return ModelMetadata(card.name, card.versions, platform, card.inputs, card.outputs, parameters)


def server_message(metadata: ServerMetadata) -> bytes:
    """A ServerMetadataResponse."""
    told = oip_messages.ServerMetadataResponse(**msgspec.to_builtins(metadata))
    return bytes(told.SerializeToString(deterministic=True))


def model_message(metadata: ModelMetadata) -> bytes:
    """A ModelMetadataResponse; its properties are texts, those that aren't in JSON."""
    fields: dict[str, Any] = msgspec.to_builtins(metadata)
    parameters = fields.pop("parameters")
    fields["properties"] = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in parameters.items()
    }
    told = oip_messages.ModelMetadataResponse(**fields)
    return bytes(told.SerializeToString(deterministic=True))


@cache
def version() -> str:
    """Ours, from pyproject.toml: nothing is installed from this tree."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "([^"]+)"$', text, re.MULTILINE)
    return found.group(1) if found else "0"
