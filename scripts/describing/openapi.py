"""The API's description, OpenAPI 3.1: what every endpoint takes and answers, from its card and archive.

    card, archive -> contents (bodies, by protocol)  \\
                     operations (paths)               -> document
    codes         -> responses (refusals, by status) /
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from scripts.describing import bodies, contents, inputs, metadata, operations, responses
from scripts.describing.archived import Archived
from scripts.describing.card import Card
from scripts.describing.inputs import Schema
from scripts.describing.operations import json, question

TOLD = """\
Each model is an endpoint, by three protocols: predictions (`/predictions/NAME`), KServe v1
(`/v1/models/NAME:predict`) and the Open Inference Protocol (`/v2/models/NAME/infer`, and over gRPC at the
same port). A request of many items with bad ones is refused as a whole, with the bad ones named. What is
wrong with a request is told by a 4xx and what to change, what is wrong with the server by a 5xx; each has a
`request_id`, under which the server's log has the rest. Where keys are asked for, send one as `x-api-key` or
as a bearer token."""

SECURITY: Sequence[dict[str, list[str]]] = ({}, {"key": []}, {"bearer": []})
"""Any of them: the first is for servers that ask for no key."""

PARAMETERS: Schema = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "comes back with the answer, and stands in the server's log",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    },
    "HeaderLength": {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "bytes of the JSON, where tensors follow it as bytes",
        "schema": {"type": "integer", "minimum": 1},
    },
}


class Version(Struct, frozen=True):
    """One that callers can reach."""

    archived: Archived
    card: Card
    default: bool
    """Whether it answers callers who name none."""


def document(versions: Sequence[Version]) -> bytes:
    """The same bytes for the same versions."""
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": metadata.SERVER, "version": metadata.version(), "description": TOLD},
        "servers": [{"url": "/"}],
        "security": SECURITY,
        "tags": _tags(versions),
        "paths": _paths(versions),
        "components": _components(versions),
    }
    return msgspec.json.encode(found)


def _tags(versions: Sequence[Version]) -> list[Schema]:
    models = {one.card.name: one.card.description for one in versions if one.default}
    named = [{"name": name, "description": description} for name, description in models.items()]
    return [{"name": "server", "description": "what is here, and whether it can answer"}, *named]


def _paths(versions: Sequence[Version]) -> dict[str, Schema]:
    found = _server()
    for one in versions:
        if one.default:
            found |= operations.paths(one.card, named=False)
        found |= operations.paths(one.card, named=True) | operations.samples(one.card)
    return found


def _server() -> dict[str, Schema]:
    described = {"application/json": {"schema": {"type": "object"}}}
    asked = {
        "/endpoints": question("endpoints", "every endpoint's card", "Error", json("Cards")),
        "/openapi.json": question("openapi", "this description", "Error", described),
        "/latency": question("latency", "Envoy's own counts and times of each version", "Error", described),
        "/healthz": question("healthz", "whether the model server runs", "Error", json("Healthy")),
        "/ready": question("ready", "whether every model can answer", "Error", json("Ready")),
        "/v1/models": question("v1-models", "every model's name", "PlainError", json("Models")),
        "/v2": question("v2", "what the server is", "PlainError", json("ServerMetadata")),
        "/v2/health/live": question("v2-live", "whether the model server runs", "PlainError", json("Live")),
        "/v2/health/ready": question(
            "v2-ready", "whether every model can answer", "PlainError", json("Ready")
        ),
    }
    return {path: {"get": operation} for path, operation in asked.items()}


def _components(versions: Sequence[Version]) -> Schema:
    _, types = msgspec.json.schema_components(bodies.TYPES, ref_template=f"{responses.SCHEMAS}/{{name}}")
    found: dict[str, Any] = {
        "schemas": {**types, **inputs.SHARED},
        "responses": responses.components(),
        "requestBodies": {},
        "headers": responses.HEADERS,
        "parameters": PARAMETERS,
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
    }
    for one in versions:
        for kind, more in contents.components(one.archived, one.card).items():
            found[kind] |= more
    return found
