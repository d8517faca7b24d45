"""The paths to a model in the API's description: its predictions by each protocol, what it is, whether it is
ready."""

from __future__ import annotations

from typing import Any

from scripts.describing import codes, contents, responses
from scripts.describing.archived import JSON
from scripts.describing.card import Card
from scripts.describing.contents import Way
from scripts.describing.inputs import BINARY, Schema
from scripts.describing.responses import Form

REQUEST_ID: Schema = {"$ref": "#/components/parameters/RequestId"}
HEADER_LENGTH: Schema = {"$ref": "#/components/parameters/HeaderLength"}


def paths(card: Card, *, named: bool) -> dict[str, Schema]:
    """Those to a version; `named`: for callers who ask for it."""
    name, version = card.name, card.version
    model = f"/v2/models/{name}/versions/{version}" if named else f"/v2/models/{name}"
    predictions = f"/predictions/{name}/{version}" if named else f"/predictions/{name}"
    found = {
        predictions: {verb: _operation(card, "predict", named, verb) for verb in ("post", "put")},
        model: {"get": _asked(card, "metadata", "what it takes and gives", "ModelMetadata", named)},
        f"{model}/ready": {"get": _asked(card, "ready", "whether it can answer", "ModelReady", named)},
    }
    if card.routes.oip is not None:
        found[f"{model}/infer"] = {"post": _operation(card, "infer", named)}
    if card.routes.kserve_v1 is not None and not named:
        found[card.routes.kserve_v1] = {"post": _operation(card, "kserve", named=False)}
    return found | ({} if named else _unnamed(card))


def samples(card: Card) -> dict[str, Schema]:
    """The bundled ones, as they are."""
    found = {}
    for sample in card.samples:
        identity = sample.url.strip("/").replace("/", "-")
        content = {sample.content_type: {"schema": {} if sample.content_type == JSON else BINARY}}
        operation = question(identity, f"the sample {sample.name}", "Error", content, tag=card.name)
        found[sample.url] = {"get": operation}
    return found


def question(identity: str, told: str, form: Form, content: Schema, *, tag: str = "server") -> Schema:
    """GET; `content` is that of the answer, by its type."""
    answer = {"description": told, "headers": responses.headers(), "content": content}
    return {
        "operationId": identity,
        "summary": told,
        "tags": [tag],
        "parameters": [REQUEST_ID],
        "responses": {"200": answer} | responses.refusals(form, codes.ASKING),
    }


def json(component: str) -> Schema:
    """The content of a JSON answer."""
    return {JSON: {"schema": responses.schema(component)}}


def _unnamed(card: Card) -> dict[str, Schema]:
    """What there is without a version alone."""
    name = card.name
    ready = question(f"{name}-answers", "whether it can answer", "Error", json("Ready"), tag=name)
    return {
        f"/v1/models/{name}": {
            "get": _asked(card, "known", "whether it can answer", "ModelReady", named=False)
        },
        f"/ready/{name}": {"get": ready},
    }


def _operation(card: Card, way: Way, named: bool, verb: str = "post") -> Schema:
    words = {"predict": "predict", "kserve": "predict, as KServe v1 asks", "infer": "infer"}
    told = f"{words[way]}: {card.name}{f' {card.version}' if named else ''}"
    parameters = [REQUEST_ID, *([HEADER_LENGTH] if way == "infer" else [])]
    found: dict[str, Any] = {
        "operationId": _identity(card, way, named, *([verb] if verb != "post" else [])),
        "summary": told,
        "description": f"{card.description}\n\nTakes {card.input}.".strip(),
        "tags": [card.name],
        "parameters": parameters,
        "requestBody": contents.reference("requestBodies", card, way),
    }
    form: Form = "Error" if way == "predict" else "PlainError"
    answers = {"200": contents.reference("responses", card, way)} | responses.refusals(form)
    return found | {"responses": answers}


def _asked(card: Card, word: str, told: str, component: str, named: bool) -> Schema:
    identity = _identity(card, word, named)
    return question(identity, told, "PlainError", json(component), tag=card.name)


def _identity(card: Card, word: str, named: bool, *more: str) -> str:
    return "-".join([card.name, *([card.version] if named else []), word, *more])
