"""KServe v1 and the Open Inference Protocol at the gateway: paths, metadata, gRPC as HTTP bodies and back."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from handlers.wire import oip_messages as messages
from scripts.gateway.admin import REVISION
from scripts.gateway.answering import FILES_HOST
from scripts.gateway.routing import Canary, Mirror, Page, Routing
from tests.server.fake_torchserve import Answer, Reset, Seen, handler_says, torchserve_says
from tests.server.gatewayed import Gatewayed, eventually, routing

SERVICE = "/inference.GRPCInferenceService"
INFER = f"{SERVICE}/ModelInfer"
PICTURE = b"\x89PNG\0\xff\n"

PAGES = {
    "/": Page("text/html; charset=utf-8", b"<h1>page</h1>"),
    "/samples/cat/1.0/0": Page("image/png", PICTURE),
    "/v2": Page("application/json", b'{"name":"pthserve"}'),
    "/v2/models/cat": Page("application/json", b'{"name":"cat"}'),
    "/v2/models/cat/versions/1.0": Page("application/json", b'{"name":"cat","versions":["1.0"]}'),
}
MESSAGES = {
    "ServerMetadata": messages.ServerMetadataResponse(name="pthserve").SerializeToString(),
    "ModelMetadata/cat": messages.ModelMetadataResponse(name="cat").SerializeToString(),
    "ModelMetadata/cat/1.0": messages.ModelMetadataResponse(name="cat", versions=["1.0"]).SerializeToString(),
}


def told(**more: object) -> Routing:
    return replace(routing(**more), pages=PAGES, messages=MESSAGES)


@pytest.fixture
def told_gateway(gatewayed: Gatewayed) -> Iterator[Gatewayed]:
    gatewayed.gateway.publish(told())
    yield gatewayed
    gatewayed.gateway.publish(routing())


def infer(name: str = "cat", version: str = "", id_: str = "") -> bytes:
    message = messages.ModelInferRequest(model_name=name, model_version=version, id=id_)
    found: bytes = message.SerializeToString()
    return found


@pytest.mark.parametrize(
    ("path", "version", "protocol"),
    [
        ("/predictions/cat", "1.0", None),
        ("/v1/models/cat:predict", "1.0", "kserve_v1"),
        ("/v2/models/cat/infer", "1.0", "oip"),
        ("/v2/models/cat/versions/2.0/infer", "2.0", "oip"),
    ],
)
def test_each_path_leads_to_a_version_in_its_protocol(
    gatewayed: Gatewayed, path: str, version: str, protocol: str | None
) -> None:
    answer = gatewayed.post(path, headers={"x-pthserve-protocol": "forged"})
    assert answer.json()["version"] == version
    assert gatewayed.fake.seen[-1].path == f"/predictions/cat/{version}"
    assert gatewayed.fake.seen[-1].headers.get("x-pthserve-protocol") == protocol


@pytest.mark.parametrize("path", ["/v1/models/cat:predict", "/v2/models/cat/infer"])
def test_a_body_is_none_of_a_form_whatever_its_type(gatewayed: Gatewayed, path: str) -> None:
    gatewayed.post(path, headers={"content-type": "application/x-www-form-urlencoded"})
    assert gatewayed.fake.seen[-1].headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_large_body_takes_its_protocol_along(gatewayed: Gatewayed, size: int) -> None:
    answer = gatewayed.post("/v2/models/cat/infer", b"x" * size)
    assert answer.json()["bytes"] == size
    assert gatewayed.fake.seen[-1].headers["x-pthserve-protocol"] == "oip"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/models/cow:predict", 404, "unknown_model"),
        ("POST", "/v2/models/cow/infer", 404, "unknown_model"),
        ("POST", "/v2/models/cow/versions/1/infer", 404, "unknown_model"),
        ("POST", "/v2/models/cat/versions/9/infer", 404, "unknown_version"),
        ("GET", "/v2/models/cow", 404, "unknown_model"),
        ("GET", "/v2/models/cow/ready", 404, "unknown_model"),
        ("GET", "/v2/models/cat/versions/9/ready", 404, "unknown_version"),
        ("GET", "/v2/models/cat/infer", 405, "wrong_method"),
        ("PUT", "/v1/models/cat:predict", 405, "wrong_method"),
        ("POST", "/v2/models/cat/ready", 405, "wrong_method"),
        ("POST", "/v2/repository/index", 404, "not_found"),
        ("GET", "/v1/models/cow", 404, "unknown_model"),
    ],
)
def test_errors_are_texts_as_these_protocols_want_them(
    told_gateway: Gatewayed, method: str, path: str, status: int, code: str
) -> None:
    answer = told_gateway.session.request(method, told_gateway.url + path, timeout=10)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert isinstance(body["error"], str)
    assert "; " in body["error"]
    assert body["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_is_too_large_is_told_in_its_protocol(told_gateway: Gatewayed) -> None:
    answer = told_gateway.post("/v2/models/cat/infer", b"x" * 20_000_001)
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/cat/ready", {"name": "cat", "ready": True}),
        ("/v2/models/cat/versions/2.0/ready", {"name": "cat", "ready": True}),
        ("/v1/models/cat", {"name": "cat", "ready": True}),
        ("/v2", {"name": "pthserve"}),
        ("/v2/models/cat", {"name": "cat"}),
        ("/v2/models/cat/versions/1.0", {"name": "cat", "versions": ["1.0"]}),
    ],
)
def test_questions_by_rest(told_gateway: Gatewayed, path: str, body: object) -> None:
    answer = told_gateway.get(path)
    assert (answer.status_code, answer.json()) == (200, body)
    assert answer.headers["content-type"] == "application/json"


def test_questions_of_what_is_not_ready(told_gateway: Gatewayed) -> None:
    told_gateway.gateway.publish(told(unready={"1.0": "is loading"}, ready=False, healthy=False))
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/cat/ready", "/v1/models/cat"):
        answer = told_gateway.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert isinstance(answer.json()["error"], str)
    assert told_gateway.get("/v2/models/cat/versions/2.0/ready").status_code == 200
    assert told_gateway.get("/v2/models/cat/versions/1.0/ready").status_code == 503


def test_pages_are_files_of_their_own_type(told_gateway: Gatewayed) -> None:
    page = told_gateway.get("/", headers={"accept": "text/html,*/*"})
    assert (page.content, page.headers["content-type"]) == (b"<h1>page</h1>", "text/html; charset=utf-8")
    assert told_gateway.get("/", headers={"accept": "application/json"}).json() == {"status": "alive"}
    picture = told_gateway.get("/samples/cat/1.0/0")
    assert (picture.content, picture.headers["content-type"]) == (PICTURE, "image/png")
    head = told_gateway.session.head(told_gateway.url + "/", timeout=10)
    assert (head.status_code, head.content) == (200, b"")
    assert told_gateway.post("/").status_code == 405


def test_a_page_that_changes_is_another_file(told_gateway: Gatewayed) -> None:
    changed = {"/": Page("text/html", b"<h1>new</h1>")}
    told_gateway.gateway.publish(replace(told(), pages=changed))
    assert told_gateway.get("/").content == b"<h1>new</h1>"
    assert told_gateway.get("/samples/cat/1.0/0").status_code == 404


def test_a_page_of_many_megabytes_is_taken(told_gateway: Gatewayed) -> None:
    """The API's description grows with the models, and Envoy rejects all routes with a reply too large."""
    large = {"/openapi.json": Page("application/json", b"[" + b"1," * 2_000_000 + b"1]")}
    told_gateway.gateway.publish(replace(told(), pages=large))
    assert told_gateway.get("/openapi.json").content == large["/openapi.json"].body


def test_who_asks_often_for_latencies_doesnt_stop_the_gateway(told_gateway: Gatewayed) -> None:
    with ThreadPoolExecutor(32) as pool:
        asked = [pool.submit(told_gateway.get, "/latency") for _ in range(300)]
        told_gateway.gateway.publish(told(unready={"2.0": "is loading"}))
        statuses = Counter(one.result().status_code for one in asked)
    assert set(statuses) <= {200, 503}
    assert statuses[200] > 0
    assert told_gateway.get("/latency").status_code == 200


@pytest.mark.parametrize("host", [FILES_HOST, REVISION])
def test_what_is_inside_answers_nobody_outside(told_gateway: Gatewayed, host: str) -> None:
    headers = {"host": host, "x-pthserve-file": "yes", "x-pthserve-whole": "yes"}
    for path in ("/", "/grpc/yes", "/grpc/ServerMetadata", "/predictions/cat"):
        assert told_gateway.get(path, headers=headers).status_code == 404


def test_latency_is_told_for_each_version_and_nothing_else_is(told_gateway: Gatewayed) -> None:
    told_gateway.post("/predictions/cat")
    stats = told_gateway.get("/latency").json()["stats"]
    names = {one["name"] for one in stats if "name" in one}
    assert "cluster.cat/1.0/rest.upstream_rq_completed" in names
    assert all("upstream_rq" in name for name in names)
    for query in ("?filter=.*", "?&filter=.*", "?x", "%3Ffilter=.*"):
        assert told_gateway.get(f"/latency{query}").status_code == 404


@pytest.mark.parametrize(
    ("method", "message", "expected"),
    [
        ("ServerLive", b"", messages.ServerLiveResponse(live=True)),
        ("ServerReady", b"", messages.ServerReadyResponse(ready=True)),
        ("ModelReady", messages.ModelReadyRequest(name="cat"), messages.ModelReadyResponse(ready=True)),
        (
            "ModelReady",
            messages.ModelReadyRequest(name="cat", version="2.0"),
            messages.ModelReadyResponse(ready=True),
        ),
        ("ModelReady", messages.ModelReadyRequest(name="cow"), messages.ModelReadyResponse(ready=False)),
        (
            "ModelReady",
            messages.ModelReadyRequest(name="cat", version="9"),
            messages.ModelReadyResponse(ready=False),
        ),
        ("ServerMetadata", b"", messages.ServerMetadataResponse(name="pthserve")),
        (
            "ModelMetadata",
            messages.ModelMetadataRequest(name="cat"),
            messages.ModelMetadataResponse(name="cat"),
        ),
        (
            "ModelMetadata",
            messages.ModelMetadataRequest(name="cat", version="1.0"),
            messages.ModelMetadataResponse(name="cat", versions=["1.0"]),
        ),
    ],
)
def test_questions_by_grpc(told_gateway: Gatewayed, method: str, message: object, expected: object) -> None:
    sent = message if isinstance(message, bytes) else message.SerializeToString()  # type: ignore[attr-defined]
    answer, call = told_gateway.call(sent, f"{SERVICE}/{method}")
    assert answer is not None, call.details()
    assert type(expected).FromString(answer) == expected  # type: ignore[attr-defined]


def test_a_model_that_loads_is_not_ready_by_grpc(told_gateway: Gatewayed) -> None:
    told_gateway.gateway.publish(told(unready={"1.0": "is loading"}, ready=False))
    asked = messages.ModelReadyRequest(name="cat").SerializeToString()
    answer, _ = told_gateway.call(asked, f"{SERVICE}/ModelReady")
    assert messages.ModelReadyResponse.FromString(answer).ready is False
    answer, _ = told_gateway.call(b"", f"{SERVICE}/ServerReady")
    assert messages.ServerReadyResponse.FromString(answer).ready is False
    answer, call = told_gateway.call(infer(), INFER)
    assert (answer, call.code().name) == (None, "UNAVAILABLE")


def protobuf(seen: Seen) -> Answer:
    """As a worker answers a message: what it was asked for, in the response's id."""
    asked = messages.ModelInferRequest.FromString(seen.body)
    named = {"model_name": asked.model_name, "model_version": seen.version, "id": asked.id}
    response = messages.ModelInferResponse(**named)
    headers = {"content-type": "application/x-protobuf", "x-model-version": seen.version}
    return Answer(200, response.SerializeToString(), headers)


@pytest.mark.parametrize(("version", "answered_by"), [("", "1.0"), ("2.0", "2.0")])
def test_inference_by_grpc_is_a_body_of_http_in_between(
    gatewayed: Gatewayed, version: str, answered_by: str
) -> None:
    gatewayed.fake.says = protobuf
    message, metadata = infer(version=version, id_="mine"), [("x-request-id", "abc")]
    answer, call = gatewayed.call(message, INFER, metadata=metadata)
    assert answer is not None, call.details()
    response = messages.ModelInferResponse.FromString(answer)
    assert (response.model_name, response.id, response.model_version) == ("cat", "mine", answered_by)
    seen = gatewayed.fake.seen[-1]
    assert seen.path == f"/predictions/cat/{answered_by}"
    assert seen.headers["content-type"] == "application/x-protobuf"
    assert seen.headers["x-pthserve-protocol"] == "oip_grpc"
    assert seen.headers["x-request-id"] == "abc"
    assert dict(call.initial_metadata())["x-model-version"] == answered_by


def test_a_message_of_many_megabytes_arrives_whole(gatewayed: Gatewayed) -> None:
    gatewayed.fake.says = protobuf
    message = messages.ModelInferRequest(model_name="cat", id="big", raw_input_contents=[b"x" * 8_000_000])
    answer, call = gatewayed.call(message.SerializeToString(), INFER)
    assert answer is not None, call.details()
    assert gatewayed.fake.seen[-1].body == message.SerializeToString()


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        (infer("cow"), "NOT_FOUND", "unknown_model"),
        (infer("cat", "9"), "NOT_FOUND", "unknown_version"),
        (infer(""), "INVALID_ARGUMENT", "bad_input"),
        (infer("a b"), "NOT_FOUND", "unknown_model"),
        (b"\xff\xff", "INVALID_ARGUMENT", "bad_input"),
    ],
)
def test_what_the_gateway_refuses_by_grpc(
    gatewayed: Gatewayed, message: bytes, status: str, code: str
) -> None:
    answer, call = gatewayed.call(message, INFER)
    assert (answer, call.code().name) == (None, status)
    assert json.loads(call.details())["error"]["code"] == code
    assert gatewayed.fake.seen == []


@pytest.mark.parametrize("method", ["ModelConfig", "RepositoryModelLoad", "ModelStreamInfer", "x"])
def test_methods_that_are_not_offered(gatewayed: Gatewayed, method: str) -> None:
    answer, call = gatewayed.call(b"", f"{SERVICE}/{method}")
    assert (answer, call.code().name) == (None, "UNIMPLEMENTED")


@pytest.mark.parametrize(
    ("says", "status", "code"),
    [
        (
            lambda seen: Answer(
                400,
                b"",
                {
                    "content-type": "application/x-protobuf",
                    "x-model-version": seen.version,
                    "grpc-status": "3",
                    "grpc-message": "%7B%22error%22: %7B%22code%22: %22wrong_shape%22%7D%7D",
                },
            ),
            "INVALID_ARGUMENT",
            "wrong_shape",
        ),
        (lambda _: torchserve_says(503, "X", "Model has no worker"), "UNAVAILABLE", "overloaded"),
        (lambda _: torchserve_says(404, "NotFoundException", "x"), "NOT_FOUND", "unknown_version"),
        (lambda _: torchserve_says(507, "X", "Worker died."), "UNAVAILABLE", "unavailable"),
        (lambda _: Reset(), "UNAVAILABLE", "unavailable"),
    ],
)
def test_errors_behind_the_gateway_are_grpcs_own(
    gatewayed: Gatewayed, says: object, status: str, code: str
) -> None:
    gatewayed.fake.says = says  # type: ignore[assignment]
    answer, call = gatewayed.call(infer(), INFER)
    assert (answer, call.code().name) == (None, status)
    assert json.loads(call.details())["error"]["code"] == code


def test_no_answer_in_time_by_grpc(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(routing(deadline=0.3))
    held = threading.Event()

    def late(seen: Seen) -> Answer:
        held.wait(10)
        return protobuf(seen)

    gatewayed.fake.says = late
    answer, call = gatewayed.call(infer(), INFER)
    held.set()
    assert (answer, call.code().name) == (None, "DEADLINE_EXCEEDED")
    assert json.loads(call.details())["error"]["code"] == "deadline_exceeded"
    gatewayed.gateway.publish(routing())


def test_a_canary_answers_its_share_by_every_way(gatewayed: Gatewayed) -> None:
    plain = routing()
    split = replace(plain.models["cat"], canary=Canary("2.0", 30.0))
    gatewayed.gateway.publish(replace(plain, models={**plain.models, "cat": split}))
    try:
        for path in ("/predictions/cat", "/v1/models/cat:predict", "/v2/models/cat/infer"):
            found = Counter(gatewayed.post(path).headers["x-model-version"] for _ in range(200))
            assert 25 <= found["2.0"] <= 100  # 60 expected, seven standard deviations each way
            assert found["1.0"] + found["2.0"] == 200
        gatewayed.fake.says = protobuf
        with gatewayed.channel() as channel:
            call = channel.unary_unary(INFER, response_deserializer=messages.ModelInferResponse.FromString)
            found = Counter(call(infer(), timeout=10).model_version for _ in range(200))
        assert 25 <= found["2.0"] <= 100
        gatewayed.fake.says = handler_says
        assert gatewayed.post("/predictions/cat/1.0").headers["x-model-version"] == "1.0"
    finally:
        gatewayed.gateway.publish(plain)


def test_a_canary_that_is_not_ready_gets_nothing(gatewayed: Gatewayed) -> None:
    plain = routing(unready={"2.0": "is loading"})
    split = replace(plain.models["cat"], canary=Canary("2.0", 90.0))
    gatewayed.gateway.publish(replace(plain, models={**plain.models, "cat": split}))
    assert {gatewayed.post("/predictions/cat").headers["x-model-version"] for _ in range(30)} == {"1.0"}
    gatewayed.gateway.publish(routing())


def test_a_mirror_gets_copies_and_nobody_waits_for_it(gatewayed: Gatewayed) -> None:
    plain = routing()
    nobody = str(gatewayed.scratch / "nobody.sock")  # nobody listens there
    mirrored = replace(plain.models["cat"], mirror=Mirror(nobody, 100.0))
    gatewayed.gateway.publish(replace(plain, models={**plain.models, "cat": mirrored}))
    try:
        assert {gatewayed.post("/predictions/cat").status_code for _ in range(20)} == {200}
    finally:
        gatewayed.gateway.publish(plain)
    eventually(lambda: gatewayed.gateway.active("cat", "1.0") == 0)
