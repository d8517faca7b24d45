"""Errors as one type: what is an error body and what an answer, and what a status says without one."""

from __future__ import annotations

import msgspec
import pytest

from handlers import wire
from handlers.errors import BadInput, ForwardFailed
from handlers.wire import Row
from scripts.calling import refused

BODY = wire.refuse(Row({}, request_id="abc"), BadInput("no picture", code="bad_image", hint="send one")).body


def test_an_error_body_is_read_whole() -> None:
    found = refused.read(BODY)
    assert found is not None
    assert (found.code, found.message, found.hint, found.request_id, found.status) == (
        "bad_image",
        "no picture",
        "send one",
        "abc",
        400,
    )
    assert msgspec.json.decode(found.error) == {
        "code": "bad_image",
        "message": "no picture",
        "hint": "send one",
    }
    assert str(found) == "no picture; send one"


def test_a_fault_of_the_server_is_told_with_the_id_that_its_log_has() -> None:
    found = refused.read(wire.refuse(Row({}, request_id="abc"), ForwardFailed("secret")).body)
    assert found is not None
    assert found.status == 500
    assert str(found).endswith("(request_id abc)")


def test_the_cause_is_told_where_it_is_known() -> None:
    found = refused.of_status(500, BODY)
    found.__cause__ = ValueError("the reason")
    assert str(found) == "no picture: the reason"


@pytest.mark.parametrize(
    "answer",
    [
        b'{"predictions":[{"label":"error","index":0,"score":1.0}]}',
        b'{"error":0.25,"request_id":"x"}',
        b'{"error":{"mean":1.0},"request_id":"x"}',
        b'{"error":{"code":"a","message":"b"}}',
        b'{"error":{"code":"a","message":"b"},"request_id":"x","values":[1.0]}',
        b"[1.0]",
        b"",
        b"\xff\xd8\xff",
    ],
)
def test_an_answer_is_no_error(answer: bytes) -> None:
    assert refused.read(answer) is None


def test_torchserve_s_own_errors_have_a_remedy_too() -> None:
    body = b'{"code": 404, "type": "ModelNotFoundException", "message": "Model not found: cat"}'
    found = refused.of_status(404, body)
    assert str(found) == "Model not found: cat; `scripts/pthserve list` shows what is served"
    assert refused.of_status(413, b"").message == "the server answered with status 413"
    assert refused.of_status(503, b"<html>\nbusy</html>").message == "<html> busy</html>"


def test_many_items_errors_are_kept_as_they_came() -> None:
    error = b'{"code":"bad_items","message":"1 of 2","hint":"h","items":[{"index":1}]}'
    assert refused.of_status(400, b'{"error":' + error + b',"request_id":"x"}').error == error


def test_retry_after_is_seconds_or_a_date() -> None:
    assert refused.seconds("2") == 2.0
    assert refused.seconds("Wed, 21 Oct 2026 07:28:00 GMT") == 1.0
    assert refused.seconds(None) is None
