"""What goes to one version and comes from it, by protocol: the components that all its paths refer to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from scripts.describing import inputs, responses
from scripts.describing.archived import JSON, NPY, Archived
from scripts.describing.card import Card, sample_url
from scripts.describing.examples import Example, examples
from scripts.describing.inputs import BINARY, Schema

Way: TypeAlias = Literal["predict", "kserve", "infer"]

PICTURES = ("image/jpeg", "image/png", "image/webp")

BYTES = "application/octet-stream"


def reference(kind: Literal["requestBodies", "responses"], card: Card, way: Way) -> Schema:
    return {"$ref": f"#/components/{kind}/{_key(card, way)}"}


def components(archived: Archived, card: Card) -> dict[str, dict[str, Schema]]:
    """ "requestBodies" and "responses"."""
    told = examples(archived)
    sent: dict[Way, Schema] = {
        "predict": _predictions(archived, told),
        "kserve": {JSON: _content(inputs.instances(archived.model), _values(told, Example.instances))},
        "infer": {
            JSON: _content(inputs.inference(archived.model, card), _values(told, Example.inference)),
            BYTES: {"schema": BINARY},  # the JSON, and tensors behind it
        },
    }
    bodies = {
        _key(card, way): {"required": True, "description": card.input, "content": content}
        for way, content in sent.items()
    }
    return {
        "requestBodies": bodies,
        "responses": {_key(card, way): answer for way, answer in _answers(card, told).items()},
    }


def _key(card: Card, way: Way) -> str:
    return f"{card.name}-{card.version}-{way}"


def _predictions(archived: Archived, told: list[Example]) -> Schema:
    """Every kind of body at /predictions/NAME."""
    model = archived.model
    found: Schema = {JSON: _content(inputs.predictions(model), _values(told, Example.predictions))}
    if model.image_input() is not None:
        found |= {kind: _content(BINARY, _elsewhere(archived, kind)) for kind in PICTURES}
        found["multipart/form-data"] = {"schema": inputs.form()}
    if model.tensor_input() is not None:
        found[BYTES] = _content(BINARY, _elsewhere(archived, NPY))  # an .npy array
    return found


def _answers(card: Card, told: list[Example]) -> dict[Way, Schema]:
    one = responses.json_answer(
        responses.answers(card.task),
        "the answer, or those to many items",
        _known(told, lambda answer: answer),
    )
    listed = responses.json_answer(
        responses.of_items(card.task),
        "an answer to each instance",
        _known(told, lambda answer: {"predictions": [answer]}),
    )
    tensors = responses.json_answer(responses.schema("Inference"), "the outputs of all items")
    return {
        "predict": responses.by_model(one),
        "kserve": responses.by_model(listed),
        "infer": responses.by_model(tensors, binary=True),
    }


def _content(schema: Schema, named: Schema) -> Schema:
    return {"schema": schema} | ({"examples": named} if named else {})


def _values(told: list[Example], form: Callable[[Example], Any]) -> Schema:
    return {one.name: {"value": form(one)} for one in told}


def _known(told: list[Example], form: Callable[[Any], Any]) -> Schema:
    """By the name of the request that they answer."""
    known = {one.name: one.answer for one in told if one.answer is not None}
    return {name: {"value": form(msgspec.to_builtins(answer))} for name, answer in known.items()}


def _elsewhere(archived: Archived, kind: str) -> Schema:
    """Samples of a kind, which lie at paths of their own."""
    return {
        one.name: {"externalValue": sample_url(archived.model, one)}
        for one in archived.samples
        if one.content_type == kind
    }
