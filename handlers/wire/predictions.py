"""TorchServe's own protocol: POST or PUT /predictions/NAME, and gRPC Predictions.

A body is the bytes of an image, JSON, or an .npy array; a form has one field with any of these.
What it is is told by its first bytes, because clients send wrong content types or none.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from handlers.errors import BadInput, Refusal
from handlers.recipe import Model
from handlers.wire import array, body, json_body, refusals, told
from handlers.wire.told import Told
from handlers.wire.types import Answered, EncodedImage, Outcome, Request, Response, Row

KINDS = "send an image (JPEG, PNG, WebP), JSON, or an .npy array"

_IMAGES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL)
_JSON = re.compile(rb"\s*[\[{\"\-0-9a-zA-Z]")
_UNSUPPORTED = (
    (rb"\x1f\x8b", "gzip-compressed", "send it uncompressed"),
    (rb"PK\x03\x04", "a zip archive", KINDS),
    (rb"GIF8", "a GIF image", "convert it to PNG"),
    (rb"BM.{12}[\x0c-\x7c]\0\0\0", "a BMP image", "convert it to PNG"),
    (rb"II\*\0|MM\0\*", "a TIFF image", "convert it to PNG"),
    (rb"....ftyp(heic|heix|mif1|avif)", "a HEIC or AVIF image", "convert it to JPEG"),
    (rb"%PDF", "a PDF document", "send a picture of the page"),
)


def read(row: Row, recipe: Model) -> Request:
    """The items of one row; raises BadInput when the body as a whole can't be read."""
    content = body.of(row, KINDS).removeprefix(codecs.BOM_UTF8)
    content_type = row.headers.get("content-type", "").lower()
    if content[:1] in (b"{", b"[") and not content_type.startswith(
        "image/"
    ):  # what most send, told at a glance
        return _json(row, content, recipe)
    if _IMAGES.match(content):
        if recipe.image_input() is None:
            raise refusals.no_images(json_body.form(recipe))
        return Request((EncodedImage(content),), request_id=row.request_id)
    if content.startswith(array.MAGIC):
        items, many = array.read(content, recipe)
        return Request(items, many, row.request_id)
    for pattern, noun, hint in _UNSUPPORTED:
        if re.match(pattern, content, re.DOTALL):
            raise BadInput(f"the body is {noun}", code="unsupported_type", hint=hint, status=415)
    if content_type.startswith("image/"):
        raise BadInput(
            f"the body is no JPEG, PNG or WebP image, although its type is {content_type[:40]!r}",
            code="bad_image",
            hint="send the file's bytes as they are",
        )
    if _JSON.match(content) or "json" in content_type:
        return _json(row, content, recipe)
    raise BadInput("the body is of no known kind", code="unsupported_type", hint=KINDS, status=415)


def _json(row: Row, content: bytes, recipe: Model) -> Request:
    items, many = json_body.read(content, recipe)
    return Request(items, many, row.request_id)


def write(request: Request, outcomes: Sequence[Outcome]) -> Response:
    """One item: its answer. A list: {"answers": [...]}, or one error that names the bad indices."""
    failed = told.failed(request, outcomes)
    if failed is not None:
        return _refusal(failed, request.request_id)
    encoded = [outcome.encoded for outcome in outcomes if isinstance(outcome, Answered)]
    if not request.many:
        return Response(200, encoded[0])
    return Response(200, b'{"answers":[' + b",".join(encoded) + b"]}")


def refuse(request_id: str, error: Refusal) -> Response:
    """The error body; what is our own fault tells nothing but the request id, or that memory is short."""
    return _refusal(told.of(error), request_id)


def _refusal(failed: Told, request_id: str) -> Response:
    return Response(failed.status, told.nested(failed, request_id), errors=failed.errors)
