"""TorchServe's own protocol: POST or PUT /predictions/NAME, and gRPC Predictions.

A body is the bytes of an image, JSON, or an .npy array; a form has one field with any of these.
What it is is told by its first bytes, because clients send wrong content types or none.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence

import msgspec

from handlers.errors import BadInput, OutOfMemory, Refusal, listed
from handlers.recipe import Model
from handlers.wire import array, json_body, refusals
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
    body = _body(row)
    content_type = row.headers.get("content-type", "").lower()
    if body[:1] in (b"{", b"[") and not content_type.startswith("image/"):  # what most send, told at a glance
        return _json(row, body, recipe)
    if _IMAGES.match(body):
        if recipe.image_input() is None:
            raise refusals.no_images(json_body.form(recipe))
        return Request((EncodedImage(body),), request_id=row.request_id)
    if body.startswith(array.MAGIC):
        items, many = array.read(body, recipe)
        return Request(items, many, row.request_id)
    for pattern, noun, hint in _UNSUPPORTED:
        if re.match(pattern, body, re.DOTALL):
            raise BadInput(f"the body is {noun}", code="unsupported_type", hint=hint, status=415)
    if content_type.startswith("image/"):
        raise BadInput(
            f"the body is no JPEG, PNG or WebP image, although its type is {content_type[:40]!r}",
            code="bad_image",
            hint="send the file's bytes as they are",
        )
    if _JSON.match(body) or "json" in content_type:
        return _json(row, body, recipe)
    raise BadInput("the body is of no known kind", code="unsupported_type", hint=KINDS, status=415)


def _json(row: Row, body: bytes, recipe: Model) -> Request:
    items, many = json_body.read(body, recipe)
    return Request(items, many, row.request_id)


def _body(row: Row) -> bytes:
    """The one thing that was sent, whatever its field is called."""
    if row.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadInput(
            "the request says that it is a form, as curl's -d and --data-binary do unless told otherwise",
            code="unsupported_type",
            hint="with curl use -T FILE or -F image=@FILE, or add -H 'Content-Type: application/json'",
            status=415,
        )
    if not row.fields:
        raise BadInput("no body arrived", code="empty_body", hint=KINDS)
    if len(row.fields) > 1:
        names = ", ".join(sorted(repr(name)[:40] for name in row.fields)[:5])
        raise BadInput(f"the form has the fields {names}", code="ambiguous_form", hint="send just one field")
    value = next(iter(row.fields.values()))
    if isinstance(value, (bytes, bytearray)):
        body = bytes(value)
    elif isinstance(value, str):
        body = value.encode("utf-8", errors="replace")
    else:
        body = _encoded(value)
    if not body:
        raise BadInput("the body is empty", code="empty_body", hint=KINDS)
    return body.removeprefix(codecs.BOM_UTF8)


def _encoded(value: object) -> bytes:
    """JSON that TorchServe, where it was told to, has parsed already; raises BadInput."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError, RecursionError) as error:
        raise BadInput(
            f"the JSON holds what can't be read: {error}"[:200], code="bad_json", hint=KINDS
        ) from None


def write(request: Request, outcomes: Sequence[Outcome]) -> Response:
    """One item: its answer. A list: {"answers": [...]}, or one error that names the bad indices."""
    errors = {index: error for index, error in enumerate(outcomes) if isinstance(error, Refusal)}
    if errors:
        return _refusal(request, errors)
    encoded = [outcome.encoded for outcome in outcomes if isinstance(outcome, Answered)]
    if not request.many:
        return Response(200, encoded[0])
    return Response(200, b'{"answers":[' + b",".join(encoded) + b"]}")


def _refusal(request: Request, errors: dict[int, Refusal]) -> Response:
    if not request.many:
        return refuse(request.request_id, errors[0])
    status = max(error.status for error in errors.values())
    items = [{"index": index, **_shown(error)} for index, error in errors.items()]
    body = {
        "error": {
            "code": "bad_items" if status < 500 else "internal",
            "message": f"{len(errors)} of {len(request.items)} items failed: {listed(map(str, errors), 10)}",
            "hint": "send the others without them; each item's own error is in `items`",
            "items": items,
        },
        "request_id": request.request_id,
    }
    return Response(
        status if status >= 500 else 400, msgspec.json.encode(body), errors=_logged(errors.values())
    )


def refuse(request_id: str, error: Refusal) -> Response:
    """The error body; what is our own fault tells nothing but the request id, or that memory is short."""
    body = msgspec.json.encode({"error": _shown(error), "request_id": request_id})
    return Response(error.status, body, errors=_logged([error]))


def _logged(errors: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """Those that are ours, and the caller's where the network raised something that its owner should see."""
    return tuple(error for error in errors if error.status >= 500 or error.__cause__ is not None)


def _shown(error: Refusal) -> dict[str, str]:
    """Code, message and hint; a surrogate that a message quotes becomes a question mark."""
    if error.status >= 500 and not isinstance(error, OutOfMemory):
        return {
            "code": "internal",
            "message": "the model failed on this request",
            "hint": "report the request_id; the server's log has the cause under it",
        }
    shown = {"code": error.code, "message": error.message, "hint": error.hint}
    return {key: text.encode("utf-8", "replace").decode() for key, text in shown.items()}
