"""A row -> the one thing that was sent, as bytes."""

from __future__ import annotations

import msgspec

from handlers.errors import BadInput
from handlers.wire.types import Row


def of(row: Row, wanted: str) -> bytes:
    """Whatever its field is called; raises BadInput, with `wanted` as the hint where nothing arrived."""
    if row.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadInput(
            "the request says that it is a form, as curl's -d and --data-binary do unless told otherwise",
            code="unsupported_type",
            hint="with curl use -T FILE or -F image=@FILE, or add -H 'Content-Type: application/json'",
            status=415,
        )
    if not row.fields:
        raise BadInput("no body arrived", code="empty_body", hint=wanted)
    if len(row.fields) > 1:
        names = ", ".join(sorted(repr(name)[:40] for name in row.fields)[:5])
        raise BadInput(f"the form has the fields {names}", code="ambiguous_form", hint="send just one field")
    value = next(iter(row.fields.values()))
    if isinstance(value, (bytes, bytearray)):
        body = bytes(value)
    elif isinstance(value, str):
        body = value.encode("utf-8", errors="replace")
    else:
        body = _encoded(value, wanted)
    if not body:
        raise BadInput("the body is empty", code="empty_body", hint=wanted)
    return body


def _encoded(value: object, wanted: str) -> bytes:
    """JSON that TorchServe, where it was told to, has parsed already; raises BadInput."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError, RecursionError) as error:
        raise BadInput(
            f"the JSON holds what can't be read: {error}"[:200], code="bad_json", hint=wanted
        ) from None
