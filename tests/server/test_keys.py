"""Who may call what, and how often, by his key; a real Envoy before a fake TorchServe."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
import requests

from scripts import config
from scripts.gateway.envoy import Gateway
from scripts.gateway.routing import Caller, Page
from scripts.serving.gatekeeper import Gatekeeper
from scripts.serving.troubles import Troubles
from tests.server.fake_torchserve import field, message
from tests.server.gatewayed import Gatewayed, error, routing
from tests.server.test_tls import Secured

pytestmark = pytest.mark.server

ALL, DOGS, OLD, NEW, QUICK = ("a" * 20, "d" * 20, "o" * 20, "n" * 20, "q" * 20)
CALLERS = (
    Caller("everything", (ALL,)),
    Caller("dogs", (DOGS,), ("dog",)),
    Caller("changing", (OLD, NEW)),
    Caller("quick", (QUICK,), (), 2, 20),
)
PAGES = {"/": Page("text/html", b"<p>open", open=True), "/endpoints": Page("application/json", b"{}")}


@pytest.fixture
def keyed(gatewayed: Gatewayed) -> Iterator[Gatewayed]:
    ask(gatewayed, CALLERS)
    return gatewayed


def ask(gatewayed: Gatewayed, callers: tuple[Caller, ...]) -> None:
    gatewayed.gateway.publish(msgspec.structs.replace(routing(), callers=callers, pages=PAGES))


def post(gatewayed: Gatewayed, key: str, path: str = "/predictions/cat", **more: Any) -> requests.Response:
    return gatewayed.post(path, headers={"x-api-key": key}, **more)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "x" * 20},
        {"authorization": f"Basic {ALL}"},
        {"x-pthserve-caller": "dogs"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/predictions/cat", "/predictions/cow", "/nothing", "/endpoints", "/ready/cat"]
)
def test_without_a_key_that_is_known_nothing_is_answered(
    keyed: Gatewayed, headers: dict[str, str], path: str
) -> None:
    response = keyed.post(path, headers=headers)
    assert (response.status_code, error(response)["code"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="pthserve"'
    assert keyed.fake.seen == []


@pytest.mark.parametrize("path", ["/", "/healthz", "/ready", "/v2/health/live", "/v2/health/ready"])
def test_health_and_the_page_are_open(keyed: Gatewayed, path: str) -> None:
    assert keyed.get(path).status_code == 200


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
@pytest.mark.parametrize("key", [ALL, OLD, NEW])
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_key_opens_and_goes_no_further(keyed: Gatewayed, header: str, key: str, size: int) -> None:
    given = key if header == "x-api-key" else f"Bearer {key}"
    named = uuid.uuid4().hex
    sent = {header: given, "x-request-id": named}
    response = keyed.post("/predictions/cat", b"x" * size, headers=sent)
    assert (response.status_code, response.json()["bytes"]) == (200, size)
    (seen,) = keyed.fake.seen
    assert key not in repr(seen)
    caller = "everything" if key == ALL else "changing"
    assert seen.headers["x-pthserve-caller"] == caller
    line = keyed.log(named)
    assert (line["caller"], line["status"]) == (caller, 200)


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_caller_gets_the_models_that_he_may_call_and_no_others(keyed: Gatewayed, size: int) -> None:
    for path in ("/predictions/cat", "/predictions/cat/2.0"):
        response = post(keyed, DOGS, path, body=b"x" * size)
        assert (response.status_code, error(response)["code"]) == (403, "forbidden")
    assert keyed.fake.seen == []
    assert post(keyed, DOGS, "/predictions/dog", body=b"x" * size).status_code == 200
    forged = {"x-api-key": DOGS, "x-pthserve-caller": "everything"}
    assert keyed.post("/predictions/cat", headers=forged).status_code == 403


def test_only_who_has_a_key_is_told_of_it(gatewayed: Gatewayed) -> None:
    """Envoy refuses some requests by 403 of itself."""
    gatewayed.gateway.publish(routing())
    response = gatewayed.post("/predictions/cat", headers={"connection": "upgrade", "upgrade": "websocket"})
    assert (response.status_code, error(response)["code"]) == (400, "bad_request")


def test_errors_over_the_other_protocols_are_texts(keyed: Gatewayed) -> None:
    body = keyed.post("/v2/models/cat/infer").json()
    assert body["error"].endswith("or as Authorization: Bearer KEY")
    assert body["code"] == "unauthorized"
    assert set(body) == {"error", "code", "request_id"}


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({}, grpc.StatusCode.UNAUTHENTICATED),
        ({"x-api-key": "x" * 20}, grpc.StatusCode.UNAUTHENTICATED),
        ({"x-api-key": DOGS}, grpc.StatusCode.PERMISSION_DENIED),
        (
            {"authorization": f"Bearer {DOGS}", "x-pthserve-caller": "everything"},
            grpc.StatusCode.PERMISSION_DENIED,
        ),
    ],
)
def test_the_same_over_grpc(keyed: Gatewayed, metadata: dict[str, str], code: grpc.StatusCode) -> None:
    answer, call = keyed.call(message("cat"), metadata=tuple(metadata.items()))
    assert (answer, call.code()) == (None, code)
    assert '"code": "' in call.details()
    assert keyed.fake.messages == []
    answer, _ = keyed.call(message("dog"), metadata=(("x-api-key", DOGS),))
    assert answer is not None
    assert not any(DOGS in str(one) for one in keyed.fake.metadata)


def test_the_same_over_the_open_inference_protocol(keyed: Gatewayed) -> None:
    named = field(1, b"cat")  # model_name is the first field of both messages
    for method in ("ModelInfer", "ModelReady"):
        path = f"/inference.GRPCInferenceService/{method}"
        _, call = keyed.call(named, path)
        assert call.code() == grpc.StatusCode.UNAUTHENTICATED
    _, call = keyed.call(named, "/inference.GRPCInferenceService/ModelInfer", metadata=(("x-api-key", DOGS),))
    assert call.code() == grpc.StatusCode.PERMISSION_DENIED
    assert keyed.fake.seen == []
    for path in ("/v1/models/cat:predict", "/v2/models/cat/infer", "/v2/models/cat/versions/1.0/infer"):
        response = post(keyed, DOGS, path)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert keyed.fake.seen == []


def test_a_rate_holds_over_all_threads_together(keyed: Gatewayed) -> None:
    def one(_: int) -> tuple[int, str]:
        with requests.Session() as session:  # a connection of its own, on whichever thread
            session.trust_env = False
            url = f"{keyed.url}/predictions/cat"
            answer = session.post(url, b"x", headers={"x-api-key": QUICK}, timeout=10)
            return answer.status_code, answer.headers.get("retry-after", "")

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        found = Counter(pool.map(one, range(120)))
    most = 20 + 2 * (time.monotonic() - began) + 1
    assert set(found) == {(200, ""), (429, "1")}
    assert 20 <= found[200, ""] <= most
    assert post(keyed, ALL).status_code == 200  # nobody else's
    answer, call = keyed.call(message("cat"), metadata=(("x-api-key", QUICK),))
    assert (answer, call.code()) == (None, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert '"code": "rate_limited"' in call.details()
    time.sleep(1.1)  # in which two more may come
    assert post(keyed, QUICK).status_code == 200


def test_keys_change_with_the_routes_and_no_request_is_lost(keyed: Gatewayed) -> None:
    failed = []
    with ThreadPoolExecutor(1) as pool:
        for turn in range(6):
            calls = pool.submit(lambda: [post(keyed, ALL).status_code for _ in range(30)])
            ask(keyed, CALLERS[:1] if turn % 2 else CALLERS)
            failed += [status for status in calls.result() if status != 200]
    assert failed == []
    assert post(keyed, OLD).status_code == 401
    keyed.gateway.publish(routing())  # and nobody is asked any more
    assert keyed.post("/predictions/cat").status_code == 200


def test_no_key_stands_in_any_log(keyed: Gatewayed) -> None:
    wrong, named = "w" * 20, uuid.uuid4().hex
    post(keyed, ALL)
    keyed.post("/predictions/cat", headers={"x-api-key": wrong, "x-request-id": named})
    assert keyed.log(named)["caller"] is None
    said = keyed.gateway.log.read_text(encoding="utf-8") + keyed.gateway.console.read_text(encoding="utf-8")
    assert "api_key" in said  # Envoy's own word for why
    for key in (ALL, DOGS, OLD, NEW, QUICK, wrong):
        assert key not in said


def test_the_supervisors_side_reads_both_files_when_they_change(tmp_path: Path) -> None:
    gatewayed, said = Secured(tmp_path), list[str]()
    path = tmp_path / "keys.yaml"
    path.write_text(f"callers: {{first: {{key: {OLD}}}}}", encoding="utf-8")
    path.chmod(0o600)
    settings = config.given(gatewayed.config, {"gateway_keys": path})
    keeper = Gatekeeper(Gateway(settings, tmp_path / "logs"), settings, Troubles(said.append), said.append)
    gatewayed.fake.start()
    try:
        keeper.start(routing())
        assert (post(gatewayed, OLD).status_code, post(gatewayed, NEW).status_code) == (200, 401)
        path.write_text("callers: {first: {key: short}}", encoding="utf-8")
        for _ in range(3):
            assert keeper.keep(routing())
        assert [one for one in said if "callers.first: a key has 5 characters" in one] == said
        assert len(said) == 1
        assert post(gatewayed, OLD).status_code == 200
        path.write_text(f"callers: {{second: {{key: {NEW}}}}}", encoding="utf-8")
        gatewayed.renew()
        assert keeper.keep(routing())
        assert said[1:] == ["new keys, of second", "new certificate"]
        assert (post(gatewayed, OLD).status_code, post(gatewayed, NEW).status_code) == (401, 200)
    finally:
        gatewayed.session.close()
        keeper.stop()
        gatewayed.fake.stop()
