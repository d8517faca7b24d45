"""A response's JSON -> the answer of a task, as the struct that the task made it from."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import msgspec

from handlers.answers import Classification, Regression, Values
from scripts.calling.failures import Received, unreadable

Answer: TypeAlias = Classification | Regression | Values | dict[str, Any]
"""A dict where the owner's own task answers in a form of its own."""

_FORMS: dict[frozenset[str], type[Classification] | type[Regression] | type[Values]] = {
    frozenset({"predictions"}): Classification,
    frozenset({"values"}): Regression,
    frozenset({"values", "names"}): Regression,
    frozenset({"output", "shape"}): Values,
}

LIST = "answers"
"""The one field of what answers a list of items."""

T = TypeVar("T")


def one(received: Received, request_id: str, url: str) -> Answer:
    """The answer to one item; raises PredictionError, and ValueError where a list was sent."""
    fields = document(received, request_id, url)
    if fields.keys() == {LIST} and isinstance(fields[LIST], list):
        if len(fields[LIST]) != 1:
            raise ValueError(f"the input holds {len(fields[LIST])} items; give them to predict_many")
        return _known(fields[LIST][0])
    return _known(fields)


def several(received: Received, request_id: str, url: str, sent: int) -> list[Answer]:
    """The answers to a list of items, of which there were `sent`; raises PredictionError."""
    found = document(received, request_id, url).get(LIST)
    if not isinstance(found, list) or len(found) != sent:
        raise unreadable(received, request_id, url, f"holds no list of {sent} answers")
    return [_known(answer) for answer in found]


def document(received: Received, request_id: str, url: str) -> dict[str, Any]:
    """The JSON object; raises PredictionError."""
    try:
        return msgspec.json.decode(received.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise unreadable(received, request_id, url, "is no JSON object") from None


def _known(answer: Any) -> Answer:
    """An own task may use the same fields for something else: then it is left as it is."""
    kind = _FORMS.get(frozenset(answer)) if isinstance(answer, dict) else None
    if kind is not None:
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError:
            pass
    return answer  # type: ignore[no-any-return]
