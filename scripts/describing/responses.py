"""Answers in the API's description: one of each kind of refusal, and what a model says."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from scripts.describing import codes
from scripts.describing.inputs import BINARY, Schema

Form: TypeAlias = Literal["Error", "PlainError"]
"""Component of a refusal's body: an object at our own paths, a text below /v1 and /v2."""

SCHEMAS = "#/components/schemas"

ANSWERS = {"classify": "Classification", "regress": "Regression", "tensor": "Values"}
"""Component of each task's answer; any JSON object where the task is the owner's own."""

OWN: Schema = {"type": "object", "description": "as the model's own task.py has it"}

HEADERS: Schema = {
    "X-Request-Id": {
        "description": "the caller's own, or one that was given to the request",
        "schema": {"type": "string"},
    },
    "X-Model-Version": {
        "description": "the version that answered",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "seconds after which it is worth a second try",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Allow": {"description": "the methods that the path takes", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "where a key is expected", "schema": {"type": "string"}},
    "Inference-Header-Content-Length": {
        "description": "bytes of the JSON that the tensors follow",
        "schema": {"type": "integer", "minimum": 1},
    },
}

_ALSO = {401: ("WWW-Authenticate",), 405: ("Allow",)}


def schema(name: str) -> Schema:
    return {"$ref": f"{SCHEMAS}/{name}"}


def answer(task: str) -> Schema:
    """What one item's answer looks like."""
    return schema(ANSWERS[task]) if task in ANSWERS else OWN


def answers(task: str) -> Schema:
    """To one item, or {"answers": [...]} to many."""
    many = {
        "type": "object",
        "properties": {"answers": {"type": "array", "items": answer(task), "minItems": 1}},
        "required": ["answers"],
    }
    return {"anyOf": [answer(task), many]}


def of_items(task: str) -> Schema:
    """KServe's first protocol: {"predictions": [...]}, one for each instance."""
    listed = {"type": "array", "items": answer(task), "minItems": 1}
    return {"type": "object", "properties": {"predictions": listed}, "required": ["predictions"]}


def json_answer(of: Schema, told: str, examples: Schema | None = None) -> Schema:
    content: Schema = {"schema": of} | ({"examples": examples} if examples else {})
    return {"description": told, "headers": headers(), "content": {"application/json": content}}


def by_model(response: Schema, *, binary: bool = False) -> Schema:
    """The same, said by a version; `binary`: its tensors may follow the JSON as bytes."""
    named = headers("X-Model-Version", *(["Inference-Header-Content-Length"] if binary else []))
    also = {"application/octet-stream": {"schema": BINARY}} if binary else {}
    return response | {"headers": named, "content": response["content"] | also}


def headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def refusals(form: Form, statuses: Sequence[int] = tuple(codes.CODES)) -> dict[str, Schema]:
    """What an operation refers to."""
    return {str(status): {"$ref": f"#/components/responses/{_name(form, status)}"} for status in statuses}


def components() -> dict[str, Schema]:
    """All that `refusals` refers to."""
    forms: tuple[Form, ...] = ("Error", "PlainError")
    return {_name(form, status): _refusal(form, status) for form in forms for status in codes.CODES}


def _name(form: Form, status: int) -> str:
    return f"{form}{status}"


def _refusal(form: Form, status: int) -> Schema:
    retry = ("Retry-After",) if status in codes.RETRIED else ()
    known = codes.CODES[status]
    examples: dict[str, Any] = {}
    for code, meaning in known.items():
        request_id = "0b5f6a1e-7d0c-4b7a-9a53-3f1f3d3f5c11"
        error: Any = {"code": code, "message": meaning, "hint": "what to change"}
        body: Any = {"error": error, "request_id": request_id}
        if form == "PlainError":
            body = {"error": f"{meaning}; what to change", "code": code, "request_id": request_id}
        examples[code] = {"value": body}
    return {
        "description": f"{HTTPStatus(status).phrase}:\n{codes.description(status)}",
        "headers": headers(*_ALSO.get(status, ()), *retry),
        "content": {"application/json": {"schema": schema(form), "examples": examples}},
    }
