"""What the gateway lets through, what it refuses and how; a real Envoy before a fake TorchServe."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from scripts.gateway.routing import Routing
from tests.server.fake_torchserve import WORKER_DIED, Answer, Reset, Seen, handler_says, torchserve_says
from tests.server.gatewayed import LIMIT, Gatewayed, error, eventually, read_answer, routing

pytestmark = pytest.mark.server

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/predictions/cat", "/predictions/cat/1.0"),
        ("/predictions/cat/2.0", "/predictions/cat/2.0"),
        ("/predictions/dog?top_k=3", "/predictions/dog/1.0?top_k=3"),
    ],
)
def test_predictions_reach_the_version_that_their_route_names(
    gatewayed: Gatewayed, method: str, path: str, reached: str
) -> None:
    response = gatewayed.session.request(method, gatewayed.url + path, data=b"abc", timeout=10)
    assert (response.status_code, response.json()["bytes"]) == (200, 3)
    assert [seen.path for seen in gatewayed.fake.seen] == [reached]
    assert response.headers["x-model-version"] == reached.partition("?")[0].split("/")[3]
    assert not [name for name in response.headers if name.startswith(("x-envoy", "x-pthserve"))]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("form", [["--http2-prior-knowledge"], ["-H", "transfer-encoding: chunked"]])
def test_http2_and_bodies_without_a_length(gatewayed: Gatewayed, form: list[str]) -> None:
    command = ["curl", "-sS", "--noproxy", "*", *form, "-d", "abc", gatewayed.url + "/predictions/cat"]
    answer = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout
    assert json.loads(answer)["bytes"] == 3
    assert gatewayed.fake.seen[0].headers["content-length"] == "3"


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/predictions/cat", "/predictions/cat/1.0"])
def test_other_methods_are_told_which_to_use(gatewayed: Gatewayed, method: str, path: str) -> None:
    response = gatewayed.session.request(method, gatewayed.url + path, timeout=10)
    assert (response.status_code, response.headers["allow"]) == (405, "POST, PUT")
    assert error(response)["code"] == "wrong_method"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("OPTIONS", "/"),
        ("OPTIONS", "*"),
        ("GET", "/ping"),
        ("GET", "/models"),
        ("POST", "/models?url=x.mar"),
        ("PUT", "/models/cat?min_worker=0"),
        ("DELETE", "/models/cat"),
        ("POST", "/workflows?url=x.war"),
        ("GET", "/metrics"),
        ("GET", "/token?type=inference"),
        ("GET", "/api-description"),
        ("POST", "/invocations?model_name=cat"),
        ("POST", "/cat/predict"),
        ("POST", "/v3/models/cat/infer"),
        ("POST", "/explanations/cat"),
        ("GET", "/stats"),
        ("GET", "/config_dump"),
        ("POST", "/quitquitquit"),
        ("POST", "/predictions"),
        ("POST", "/predictions/"),
        ("POST", "/predictions/cat/"),
        ("POST", "/predictions/cat/1.0/"),
        ("POST", "/predictions/cat/1.0/more"),
        ("POST", "//predictions/cat"),
        ("POST", "/predictions//cat"),
        ("POST", "/./predictions/cat"),
        ("POST", "/x/../predictions/cat"),
        ("POST", "/predictions/../models"),
        ("POST", "/predictions/%2e%2e/models"),
        ("POST", "/predictions/..%2fmodels"),
        ("POST", "/predictions%2fcat"),
        ("POST", "/predictions/cat%2f1.0"),
        ("POST", "/predictions/c%61t"),
        ("POST", "/predictions\\cat"),
        ("POST", "/predictions/cat;x=1"),
        ("POST", "/PREDICTIONS/cat"),
        ("POST", "http://localhost/predictions/cat"),
        ("POST", "http://localhost:8081/models"),
        ("POST", "/predictions/cat#x"),
        ("POST", '/predictions/c"at'),
    ],
)
def test_nothing_else_passes(gatewayed: Gatewayed, method: str, path: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    answer = gatewayed.raw(request.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"404", b"400"), answer
    assert json.loads(body)["error"]["code"] in ("not_found", "bad_request")
    assert json.loads(body)["request_id"].encode() in head
    assert gatewayed.fake.seen == []


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/predictions/cow", "unknown_model", "no such model: cow"),
        ("/predictions/Cat?x=/y", "unknown_model", "no such model: Cat"),
        ("/predictions/cow/1.0", "unknown_model", "no such model: cow"),
        ("/predictions/" + "c" * 9000, "unknown_model", "no such model: " + "c" * 100),
        ("/predictions/cat/9.9", "unknown_version", "cat has no such version: 9.9"),
    ],
)
def test_unknown_names_are_told_apart(gatewayed: Gatewayed, path: str, code: str, message: str) -> None:
    response = gatewayed.post(path)
    told = error(response)
    assert (response.status_code, told["code"], told["message"]) == (404, code, message)
    if code == "unknown_version":
        assert "1.0, 2.0" in told["hint"]


def test_no_header_of_a_caller_steers_anything(gatewayed: Gatewayed) -> None:
    steering = {
        "describe": "True",
        "explain": "True",
        "customized": "true",
        "url_path": "x",
        "ts_request_sequence_id": "1",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-upstream-rq-per-try-timeout-ms": "1",
        "x-envoy-retry-on": "5xx",
        "x-envoy-max-retries": "9",
        "x-envoy-internal": "true",
        "x-envoy-original-path": "/models",
        "x-envoy-upstream-alt-stat-name": "mine",
        "x-pthserve-whole": "yes",
        "x-pthserve-model": "dog",
        "x-pthserve-version": "2.0",
        "grpc-timeout": "1n",
        "expect": "the unexpected",
    }
    kept = {"inference-header-content-length": "2", "content-type": "application/json"}

    def says(seen: Seen) -> Answer:
        time.sleep(0.1)
        return Answer(500, b"mine", {"x-model-version": "1.0"})

    gatewayed.fake.says = says
    response = gatewayed.post("/predictions/cat", headers={**steering, **kept})
    assert (response.status_code, response.content) == (500, b"mine")
    (seen,) = gatewayed.fake.seen  # not retried
    assert seen.path == "/predictions/cat/1.0"
    arrived = set(seen.headers) - {"x-envoy-internal"}  # Envoy's own word of it
    assert not arrived & steering.keys()
    assert kept.items() <= seen.headers.items()


def test_health_and_readiness(gatewayed: Gatewayed) -> None:
    assert gatewayed.get("/healthz").json() == {"healthy": True}
    assert gatewayed.get("/ready").json() == {"ready": True}
    assert gatewayed.get("/ready/cat").json() == {"ready": True}
    assert gatewayed.session.head(gatewayed.url + "/healthz").status_code == 200
    assert error(gatewayed.get("/ready/cow"))["message"] == "no such model: cow"
    wrong = gatewayed.post("/ready")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")

    loading = {"1.0": 'is "loading" at 5%'}
    gatewayed.gateway.publish(routing(unready=loading, ready=False, healthy=False))
    assert gatewayed.get("/healthz").status_code == 503
    response = gatewayed.get("/ready")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert error(response)["models"] == {"cat": '1.0 is "loading" at 5%'}
    assert gatewayed.get("/ready/cat").status_code == 503
    assert gatewayed.get("/ready/dog").json() == {"ready": True}


def test_an_unready_version_is_refused_at_once_and_no_other(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(routing(unready={"1.0": "is loading"}))
    for path in ("/predictions/cat", "/predictions/cat/1.0"):
        response = gatewayed.post(path)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert error(response)["code"] == "not_ready"
        assert error(response)["message"] == "cat/1.0 is loading"
    assert gatewayed.post("/predictions/cat/2.0").status_code == 200
    assert gatewayed.post("/predictions/dog").status_code == 200


def test_a_model_without_a_default_and_one_that_leaves(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(routing(default="", unready={"1.0": "is loading", "2.0": "is loading"}))
    assert error(gatewayed.post("/predictions/cat"))["code"] == "not_ready"
    gatewayed.gateway.publish(routing(default="", versions=(), leaving=("1.0",)))
    assert error(gatewayed.post("/predictions/cat"))["code"] == "unknown_model"
    assert error(gatewayed.post("/predictions/cat/1.0"))["code"] == "unknown_model"
    assert error(gatewayed.get("/ready/cat"))["code"] == "unknown_model"


def test_stopping_refuses_all_but_healthz(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(routing(stopping=True, ready=False))
    assert gatewayed.get("/healthz").status_code == 200
    for response in (gatewayed.get("/ready"), gatewayed.post("/predictions/dog"), gatewayed.get("/x")):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert error(response)["code"] == "stopping"


@pytest.mark.parametrize(
    "failure",
    [WORKER_DIED, Answer(507, b""), torchserve_says(507, "InternalServerException", "Worker died."), Reset()],
)
def test_a_died_worker_is_tried_once_more(gatewayed: Gatewayed, failure: Answer | Reset) -> None:
    first = iter([failure])
    gatewayed.fake.says = lambda seen: next(first, None) or handler_says(seen)
    body = b"y" * 15_000_000
    response = gatewayed.post("/predictions/cat", body)
    assert (response.status_code, response.json()["bytes"]) == (200, len(body))
    assert [seen.body == body for seen in gatewayed.fake.seen] == [True, True]


@pytest.mark.parametrize("failure", [WORKER_DIED, Answer(507, b""), Reset()])
def test_after_the_second_failure_callers_are_told(gatewayed: Gatewayed, failure: Answer | Reset) -> None:
    gatewayed.fake.says = lambda seen: failure
    response = gatewayed.post("/predictions/cat")
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert error(response)["code"] == "unavailable"
    assert len(gatewayed.fake.seen) == 2
    line = gatewayed.log(response.headers["x-request-id"])
    assert (line["attempts"], line["status"]) == (2, 503)


@pytest.mark.parametrize("status", [200, 400, 404, 413, 500, 503, 507])
def test_what_a_handler_answers_passes_as_it_is(gatewayed: Gatewayed, status: int) -> None:
    body = b'{"error": {"code": "forward_failed"},\n "x": "\xff"}'
    headers = {"x-model-version": "1.0", "content-type": "application/x-mine"}
    gatewayed.fake.says = lambda seen: Answer(status, body, headers)
    response = gatewayed.post("/predictions/cat")
    assert (response.status_code, response.content) == (status, body)
    assert headers.items() <= response.headers.items()
    assert len(gatewayed.fake.seen) == 1


@pytest.mark.parametrize(
    ("said", "status", "code", "retry_after"),
    [
        (
            torchserve_says(404, "ModelNotFoundException", "Model not found: cat"),
            404,
            "unknown_version",
            None,
        ),
        (Answer(413, b""), 413, "too_large", None),
        (
            torchserve_says(503, "ServiceUnavailableException", 'Model "cat" has no worker to serve'),
            503,
            "overloaded",
            "1",
        ),
        (
            torchserve_says(503, "InternalServerException", "Prediction failed"),
            503,
            "unavailable",
            "2",
        ),
        (
            torchserve_says(500, "ErrorDataDecoderException", "Bad string: 'x'"),
            400,
            "bad_input",
            None,
        ),
        (torchserve_says(400, "BadRequestException", "no"), 400, "bad_input", None),
        (torchserve_says(400, "BadRequestException", "Invalid HTTP message."), 431, "bad_request", None),
    ],
)
def test_torchserves_own_refusals_become_ours(
    gatewayed: Gatewayed, said: Answer, status: int, code: str, retry_after: str | None
) -> None:
    gatewayed.fake.says = lambda seen: said
    response = gatewayed.post("/predictions/cat")
    assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)
    assert error(response)["code"] == code
    assert len(gatewayed.fake.seen) == 1


def test_a_deadline_is_a_504_and_never_retried(gatewayed: Gatewayed) -> None:
    gatewayed.gateway.publish(routing(deadline=0.3))
    release = threading.Event()

    def says(seen: Seen) -> Answer | Reset:
        release.wait(5)
        return handler_says(seen)

    gatewayed.fake.says = says
    begun = time.monotonic()
    response = gatewayed.post("/predictions/cat")
    release.set()
    assert (response.status_code, error(response)["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - begun < 4  # sooner than the answer
    assert len(gatewayed.fake.seen) == 1


def test_nobody_behind_it_is_a_fast_503(gatewayed: Gatewayed) -> None:
    gatewayed.fake.stop()
    try:
        begun = time.monotonic()
        response = gatewayed.post("/predictions/cat")
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert error(response)["code"] == "unavailable"
        assert time.monotonic() - begun < 1
    finally:
        gatewayed.fake.start()


@pytest.mark.parametrize("chunked", [False, True])
def test_the_limit_itself_passes_and_one_byte_more_is_a_413(gatewayed: Gatewayed, chunked: bool) -> None:
    def body(size: int) -> bytes | Iterator[bytes]:
        return iter([b"z" * (size - 10), b"z" * 10]) if chunked else b"z" * size

    response = gatewayed.session.post(f"{gatewayed.url}/predictions/cat", data=body(LIMIT), timeout=30)
    assert (response.status_code, response.json()["bytes"]) == (200, LIMIT)
    response = gatewayed.session.post(f"{gatewayed.url}/predictions/cat", data=body(LIMIT + 1), timeout=30)
    assert (response.status_code, error(response)["code"]) == (413, "too_large")
    assert str(LIMIT) in error(response)["message"]
    assert len(gatewayed.fake.seen) == 1


def test_a_length_that_is_too_large_is_refused_before_the_body(gatewayed: Gatewayed) -> None:
    answer = gatewayed.raw(
        b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 413"), answer


SANE = ["a", "A-z_0.9:x", "x" * 128]
INSANE = ['b"ad', "a b", "x" * 129, "x" * 200, "é".encode(), b"\x80", "a,b", "", "a\tb"]


@pytest.mark.parametrize("given", SANE)
@pytest.mark.parametrize("path", ["/predictions/cat", "/predictions/cow", "/healthz"])
def test_a_sane_request_id_is_kept(gatewayed: Gatewayed, given: str, path: str) -> None:
    method = "GET" if path == "/healthz" else "POST"
    response = gatewayed.session.request(
        method, gatewayed.url + path, headers={"x-request-id": given}, timeout=10
    )
    assert response.headers["x-request-id"] == given
    assert [seen.headers["x-request-id"] for seen in gatewayed.fake.seen] in ([], [given])
    assert response.status_code != 404 or response.json()["request_id"] == given


@pytest.mark.parametrize("given", INSANE)
@pytest.mark.parametrize("path", ["/predictions/cat", "/predictions/cow", "*", "/a#b"])
def test_any_other_id_is_replaced_everywhere(gatewayed: Gatewayed, given: str | bytes, path: str) -> None:
    value = given if isinstance(given, bytes) else given.encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n".encode()
    answer = gatewayed.raw(head + b"x-request-id: " + value + b"\r\n\r\n")
    headers, _, body = answer.partition(b"\r\n\r\n")
    (told,) = re.findall(rb"\r\nx-request-id: ([^\r]*)", headers)
    assert UUID.fullmatch(told.decode())
    assert told in body
    assert not value or len(value) == 1 or value not in answer
    line = gatewayed.log(told.decode())
    assert line["request_id"] == told.decode()
    assert all(seen.headers["x-request-id"] == told.decode() for seen in gatewayed.fake.seen)


def test_a_request_without_an_id_gets_one_and_two_get_two(gatewayed: Gatewayed) -> None:
    told = {gatewayed.post("/predictions/cat").headers["x-request-id"] for _ in range(2)}
    assert len(told) == 2
    assert {seen.headers["x-request-id"] for seen in gatewayed.fake.seen} == told


def test_the_access_log_has_one_line_of_json_for_each(gatewayed: Gatewayed) -> None:
    response = gatewayed.post("/predictions/cat?secret=1", b"12345", headers={"x-request-id": "logged-1"})
    begun = time.monotonic()
    line = gatewayed.log("logged-1")
    assert time.monotonic() - begun < 1.5
    times = ("time", "duration_ms", "first_byte_ms")
    assert all(line[key] is not None for key in times)
    assert {key: value for key, value in line.items() if key not in times} == {
        "request_id": "logged-1",
        "method": "POST",
        "path": "/predictions/cat",
        "protocol": "HTTP/1.1",
        "status": 200,
        "grpc_status": None,
        "flags": "-",
        "details": "via_upstream",
        "cluster": "cat/1.0/rest",
        "attempts": 1,
        "bytes_in": 5,
        "bytes_out": len(response.content),
        "caller": None,
        "peer": "127.0.0.1",
    }
    chunks = iter([b"12", b"345"])
    gatewayed.session.post(
        gatewayed.url + "/predictions/cat", data=chunks, headers={"x-request-id": "logged-2"}, timeout=10
    )
    line = gatewayed.log("logged-2")
    assert (line["cluster"], line["peer"], line["bytes_in"]) == ("cat/1.0/rest", "127.0.0.1", 5)
    time.sleep(0.6)  # longer than a second line would take to be written
    assert gatewayed.gateway.log.read_text().count('"logged-2"') == 1


def test_a_large_log_is_put_aside(gatewayed: Gatewayed, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = gatewayed.gateway
    for number in range(5):
        gatewayed.post("/predictions/cat", headers={"x-request-id": f"turn-{number}"})
        gatewayed.log(f"turn-{number}")
        monkeypatch.setattr("scripts.gateway.rotation.LARGEST", 1)
        gateway.rotate_log()
        monkeypatch.undo()
    gatewayed.post("/predictions/cat", headers={"x-request-id": "last"})
    gatewayed.log("last")
    aside = sorted(path.name for path in gateway.log.parent.glob("gateway.log.*"))
    assert aside == ["gateway.log.1", "gateway.log.2", "gateway.log.3"]
    assert '"turn-4"' in gateway.log.with_name("gateway.log.1").read_text()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", b"400", "bad_request"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400", "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\nbig: " + b"a" * 70_000 + b"\r\n\r\n", b"431", "bad_request"),
        (
            b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
            b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
            "bad_request",
        ),
        (
            b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\n"
            b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
            b"400",
            "bad_request",
        ),
        (b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", b"400", "bad_request"),
        (
            b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            b"501",
            "bad_request",
        ),
    ],
)
def test_what_is_no_http_is_told_so(gatewayed: Gatewayed, sent: bytes, status: bytes, code: str) -> None:
    answer = gatewayed.raw(sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == status
    assert json.loads(body)["error"]["code"] == code
    assert json.loads(body)["request_id"].encode() in head
    assert gatewayed.fake.seen == []


def test_http_1_0_is_spoken_as_nginx_and_health_checks_do(gatewayed: Gatewayed) -> None:
    assert gatewayed.raw(b"GET /ready HTTP/1.0\r\n\r\n").endswith(b'{"ready": true}')
    answer = gatewayed.raw(b"POST /predictions/cat HTTP/1.0\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.0 200")
    assert b'"bytes": 3' in answer


def test_a_long_path_is_cut_in_the_log(gatewayed: Gatewayed) -> None:
    gatewayed.post("/" + "x" * 1000, headers={"x-request-id": "long-path"})
    assert gatewayed.log("long-path")["path"] == "/" + "x" * 255


def test_requests_are_not_smuggled_behind_another(gatewayed: Gatewayed) -> None:
    inner = b"POST /models HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    size = str(len(inner)).encode()
    gatewayed.raw(
        b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ncontent-length: " + size + b"\r\n\r\n" + inner
    )
    assert [(seen.path, seen.body) for seen in gatewayed.fake.seen] == [("/predictions/cat/1.0", inner)]


def test_in_flight_requests_are_counted_on_their_version(gatewayed: Gatewayed) -> None:
    release = threading.Event()

    def says(seen: Seen) -> Answer | Reset:
        release.wait(10)
        return handler_says(seen)

    gatewayed.fake.says = says
    gateway = gatewayed.gateway
    threads = [
        threading.Thread(target=requests.post, args=(gatewayed.url + path, b"x"), kwargs={"timeout": 20})
        for path in ("/predictions/cat", "/predictions/cat/1.0", "/predictions/cat/2.0")
    ]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: gateway.active("cat", "1.0") == 2 and gateway.active("cat", "2.0") == 1)
        assert (gateway.active_all(), gateway.active("dog", "1.0"), gateway.active("cow", "1")) == (3, 0, 0)
        gateway.publish(routing("2.0", ("2.0",), leaving=("1.0",)))
        assert gateway.active("cat", "1.0") == 2
        assert gatewayed.post("/predictions/cat/1.0").status_code == 404
    finally:
        release.set()
        for thread in threads:
            thread.join()
    eventually(lambda: gateway.active_all() == 0 and gateway.active("cat", "1.0") == 0)


@pytest.mark.parametrize("leaving", [("1.0",), ()])
def test_a_slow_upload_that_is_small_takes_no_place_before_it_is_there(
    gatewayed: Gatewayed, leaving: tuple[str, ...]
) -> None:
    """It goes where it began to, while that is there; else its caller is told to try again."""
    gateway = gatewayed.gateway
    with gatewayed.connection() as slow:
        slow.sendall(b"POST /predictions/cat HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab")
        eventually(lambda: gateway.active_all() == 1)
        assert gateway.active("cat", "1.0") == 0
        gateway.publish(routing("2.0", ("2.0",), leaving=leaving))
        slow.sendall(b"cd")
        answer = read_answer(slow)
        assert (b'"version": "1.0"' if leaving else b"\r\nretry-after: 2\r\n") in answer


@pytest.mark.parametrize(
    ("length", "begin", "end"),
    [
        ("transfer-encoding: chunked", b"2\r\nab\r\n", b"2\r\ncd\r\n0\r\n\r\n"),
        ("content-length: 70000", b"x" * 69_999, b"x"),
    ],
)
def test_a_slow_upload_that_is_large_gets_the_version_that_answers_when_it_is_there(
    gatewayed: Gatewayed, length: str, begin: bytes, end: bytes
) -> None:
    gateway = gatewayed.gateway
    with gatewayed.connection() as slow:
        slow.sendall(f"POST /predictions/cat HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n".encode() + begin)
        eventually(lambda: gateway.active_all() == 1)
        assert gateway.active("cat", "1.0") == 0
        gateway.publish(routing("2.0", ("2.0",)))
        slow.sendall(end)
        assert b'"version": "2.0"' in read_answer(slow)


def test_metrics_are_labelled_and_nothing_else_is_there(gatewayed: Gatewayed) -> None:
    metrics = gatewayed.config.gateway_metrics.url
    gatewayed.post("/predictions/cat/2.0")

    def measured() -> str | None:
        text = requests.get(f"{metrics}/metrics", timeout=10).text
        counted = re.search(
            r'envoy_cluster_upstream_rq_time_count\{model="cat",version="2.0",protocol="rest"\} [1-9]', text
        )
        return text if counted else None

    text = eventually(measured)
    assert 'envoy_cluster_upstream_rq_active{model="cat",version="1.0",protocol="grpc"} 0' in text
    assert not re.search(r"envoy_cluster_\w+\{\}", text.replace("envoy_cluster_manager", ""))
    for method, path in (
        ("GET", "/"),
        ("GET", "/stats"),
        ("GET", "/config_dump"),
        ("POST", "/quitquitquit"),
        ("POST", "/metrics"),
        ("GET", "/metrics/../config_dump"),
    ):
        response = requests.request(method, metrics + path, timeout=10)
        assert (response.status_code, error(response)["code"]) == (404, "not_found")


def test_publishing_the_same_again_is_nothing(gatewayed: Gatewayed) -> None:
    routes = gatewayed.scratch / "routes" / "routes.json"
    before = routes.stat()
    gatewayed.gateway.publish(routing())
    assert routes.stat().st_mtime_ns == before.st_mtime_ns


def test_models_come_and_go(gatewayed: Gatewayed) -> None:
    empty = Routing({}, healthy=True, ready=True)
    for _ in range(3):
        gatewayed.gateway.publish(empty)
        assert error(gatewayed.post("/predictions/cat"))["code"] == "unknown_model"
        gatewayed.gateway.publish(routing())
        assert gatewayed.post("/predictions/cat").status_code == 200
