"""Bad input over HTTP: a 4xx with a code each, never a 5xx, and the worker lives on."""

from __future__ import annotations

import http.client
import json

import pytest

from tests.bad_inputs import IMAGE, UNPICKLED, VECTOR, BadBody
from tests.server.running import Running

pytestmark = pytest.mark.server

TABLE = [("digits_cnn", bad) for bad in IMAGE] + [("diabetes", bad) for bad in VECTOR]


@pytest.fixture(scope="module", autouse=True)
def same_workers(server: Running) -> None:
    """The worker processes after all of these are those from before."""
    before = {name: server.worker_pids(name) for name in ("digits_cnn", "diabetes")}
    yield
    assert {name: server.worker_pids(name) for name in before} == before


@pytest.mark.parametrize(("name", "bad"), TABLE, ids=lambda value: getattr(value, "name", value))
def test_bad_input_is_refused_with_its_code(server: Running, name: str, bad: BadBody) -> None:
    reply = server.inference.predict(name, bad.body, content_type=bad.content_type)
    assert reply.status == bad.status, reply.body
    answer = reply.json()
    assert answer["error"]["code"] == bad.code
    assert answer["error"]["hint"]
    assert answer["request_id"]
    assert not UNPICKLED.exists()


def test_a_body_without_a_content_type_that_curl_calls_a_form_is_explained(server: Running) -> None:
    reply = server.inference.predict("diabetes", b"[1]", content_type="application/x-www-form-urlencoded")
    assert reply.status == 415
    assert "curl" in reply.json()["error"]["hint"]


def test_a_form_field_may_have_any_name(server: Running) -> None:
    photo = (server.places.models / "digits_cnn" / "samples" / "seven.png").read_bytes()
    for field in ("image", "file", "näme"):
        reply = server.inference.predict("digits_cnn", None, files={field: photo})
        assert reply.json()["predictions"][0]["label"] == "seven"


def test_headers_that_are_no_utf8_are_survived(server: Running) -> None:
    photo = (server.places.models / "digits_cnn" / "samples" / "seven.png").read_bytes()
    address = server.config.inference
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    connection.putrequest("POST", "/predictions/digits_cnn")
    connection.putheader("content-length", str(len(photo)))
    connection.putheader("x-odd", b"\xff\xfe\xe9")
    connection.putheader("x-request-id", b"evil\xe9")
    connection.endheaders(photo)
    answer = connection.getresponse()
    assert answer.status == 200
    connection.close()


def test_the_callers_request_id_is_in_the_error(server: Running) -> None:
    reply = server.inference.predict(
        "diabetes", b"nonsense{", content_type="application/json", headers={"x-request-id": "order-66"}
    )
    assert reply.json()["request_id"] == "order-66"


def test_a_list_with_bad_items_names_their_indices(server: Running) -> None:
    items = [[0.1] * 10, [1e39] * 10, [0.2] * 10]
    reply = server.inference.predict("diabetes", json.dumps(items).encode(), content_type="application/json")
    assert reply.status == 400
    assert [item["index"] for item in reply.json()["error"]["items"]] == [1]


def test_a_body_beyond_the_servers_limit_is_its_413(server: Running) -> None:
    most = int(server.config.properties["max_request_size"])
    reply = server.inference.predict("digits_cnn", b"\0" * (most + 1), content_type="image/png")
    assert reply.status == 413
