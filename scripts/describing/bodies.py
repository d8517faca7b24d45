"""What stands in answers, whatever the model: their form in the API's description."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from handlers.answers import Classification, Regression, Values
from handlers.signature import Datatype
from scripts.describing.card import Cards
from scripts.describing.metadata import ModelMetadata, ServerMetadata


class ItemError(Struct, frozen=True):
    """What is wrong with one item of a longer request."""

    index: int
    code: str
    message: str
    hint: str


class ErrorBody(Struct, frozen=True):
    """What was wrong, and what to change."""

    code: str
    message: str
    hint: str
    items: list[ItemError] = []
    """Of a longer request."""
    models: dict[str, str] = {}
    """Why some can't answer, by their name."""


class Error(Struct, frozen=True):
    """A refusal."""

    error: ErrorBody
    request_id: str


class PlainError(Struct, frozen=True):
    """A refusal in protocols whose errors are texts."""

    error: str
    code: str
    request_id: str
    items: list[ItemError] = []


class Healthy(Struct, frozen=True):
    """The model server runs."""

    healthy: bool


class Live(Struct, frozen=True):
    """The model server runs."""

    live: bool


class Ready(Struct, frozen=True):
    """It can answer."""

    ready: bool


class ModelReady(Struct, frozen=True):
    """The model can answer."""

    name: str
    ready: bool


class Models(Struct, frozen=True):
    """Every model by name."""

    models: list[str]


class OutputTensor(Struct, frozen=True):
    """One output of all items; without `data` where it follows the JSON as bytes."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any] = []
    parameters: dict[str, Any] = {}


class Inference(Struct, frozen=True):
    """The answer to an inference request."""

    model_name: str
    outputs: list[OutputTensor]
    model_version: str = ""
    id: str = ""
    parameters: dict[str, Any] = {}


TYPES: tuple[type[Struct], ...] = (
    Cards,
    Classification,
    Error,
    Healthy,
    Inference,
    Live,
    ModelMetadata,
    ModelReady,
    Models,
    PlainError,
    Ready,
    Regression,
    ServerMetadata,
    Values,
)
"""All that has a schema of its own, and what they are made of."""
