"""What of TorchServe is reached from outside: predictions, and nothing else, whatever the disguise."""

from __future__ import annotations

import http.client
import json
from typing import Any
from uuid import uuid4

import grpc
import pytest

from tests.server.running import Running

pytestmark = pytest.mark.server

CLOSED = [
    ("GET", "/models"),
    ("GET", "/models/diabetes"),
    ("POST", "/models?url=http://127.0.0.1:1/x.mar"),
    ("PUT", "/models/diabetes?min_worker=0"),
    ("DELETE", "/models/diabetes/1.0"),
    ("POST", "/workflows?url=http://127.0.0.1:1/x.war"),
    ("POST", "/wfpredict/diabetes"),
    ("GET", "/metrics"),
    ("GET", "/ping"),
    ("GET", "/token?type=inference"),
    ("GET", "/api-description"),
    ("OPTIONS", "/"),
    ("OPTIONS", "/predictions/diabetes"),
    ("TRACE", "/predictions/diabetes"),
    ("DELETE", "/predictions/diabetes"),
    ("POST", "/explanations/diabetes"),
    ("POST", "/invocations?model_name=diabetes"),
    ("POST", "/diabetes/predict"),
    ("GET", "/predictions/../models"),
    ("GET", "/predictions/diabetes/../../models"),
    ("GET", "/predictions/%2e%2e/models"),
    ("GET", "/predictions/..%2fmodels"),
    ("GET", "/predictions/diabetes/1.0/..%2f..%2f..%2fmodels"),
    ("GET", "//models"),
    ("GET", "/./models"),
    ("POST", "/predictions//diabetes"),
    ("POST", "/predictions/diabetes/"),
    ("POST", "/predictions/diabetes;x"),
    ("POST", "/predictions/diabetes/1.0/more"),
    ("POST", "/Predictions/diabetes"),
    ("POST", "\\predictions\\diabetes"),
    ("GET", "http://127.0.0.1:8081/models"),
]


def ask(
    server: Running, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, Any, Any]:
    """(status, JSON, headers) of exactly this path, which no client library has tidied up."""
    address = server.config.gateway
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    try:
        body = b"[0,0,0,0,0,0,0,0,0,0]" if method in ("POST", "PUT") else None
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), dict(answer.getheaders())
    finally:
        connection.close()


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nothing_but_predictions_is_reached(server: Running, method: str, path: str) -> None:
    status, answer, headers = ask(server, method, path)
    assert status in (400, 404, 405), answer
    assert answer.keys() == {"error", "request_id"}
    assert answer["error"]["code"]
    assert headers["x-request-id"] == answer["request_id"]
    assert server.management.version("diabetes", "1.0") is not None


@pytest.mark.parametrize(
    "header",
    ["describe", "explain", "customized", "x-envoy-upstream-rq-timeout-ms", "x-pthserve-path", "url_path"],
)
def test_headers_that_steer_have_no_effect(server: Running, header: str) -> None:
    plain = ask(server, "POST", "/predictions/diabetes")
    steered = ask(server, "POST", "/predictions/diabetes", {header: "1"})
    assert plain[:2] == steered[:2]
    assert plain[0] == 200


def test_a_callers_id_is_on_the_answer_in_the_log_and_in_the_error(server: Running) -> None:
    given = f"order-{uuid4().hex}"
    status, answer, headers = ask(server, "POST", "/predictions/digits_mlp", {"x-request-id": given})
    assert status == 400
    assert (headers["x-request-id"], answer["request_id"]) == (given, given)
    log = server.places.logs / "gateway.log"
    server.wait(lambda: given in log.read_text(encoding="utf-8"), 10)
    line = next(line for line in log.read_text(encoding="utf-8").splitlines() if given in line)
    assert json.loads(line)["cluster"] == "digits_mlp/1.0/rest"


INFERENCE, MANAGEMENT = (
    "org.pytorch.serve.grpc.inference.InferenceAPIsService",
    "org.pytorch.serve.grpc.management.ManagementAPIsService",
)


@pytest.mark.parametrize(
    "method",
    [
        f"/{INFERENCE}/Ping",
        f"/{INFERENCE}/StreamPredictions",
        f"/{MANAGEMENT}/RegisterModel",
        f"/{MANAGEMENT}/ListModels",
        f"/{MANAGEMENT}/UnregisterModel",
        f"/{INFERENCE}/../{MANAGEMENT}/ListModels",
    ],
)
def test_of_grpc_nothing_but_predictions_is_reached(server: Running, method: str) -> None:
    with grpc.insecure_channel(server.seen().grpc) as channel:
        call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
