"""Our metrics at TorchServe's Prometheus endpoint: each with its labels, counting what was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import requests

from handlers.metering import METRICS, PHASES, Metric
from scripts.calling.inference import Inference
from tests.bad_inputs import picture
from tests.server.running import Running

pytestmark = pytest.mark.server

MODELS = ("digits_cnn", "diabetes", "mobilenet_v2")
HISTOGRAMS = [metric.name for metric in METRICS if metric.kind == "HISTOGRAM"]
BATCHES = "pthserve_batch_requests_count"
DEADLINE = 10  # s; a worker's lines reach the endpoint through a pipe and a thread of TorchServe's

Series = tuple[str, frozenset[tuple[str, str]]]
"""A name, and its labels without the host's."""

VECTOR = [0.01] * 10


def session() -> requests.Session:
    opened = requests.Session()
    opened.trust_env = False  # no proxy stands between us and loopback
    return opened


def scraped(server: Running) -> str:
    answer = session().get(f"{server.config.metrics.url}/metrics", timeout=10)
    assert answer.status_code == 200
    return answer.text


def parsed(text: str) -> dict[Series, float]:
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(pthserve_\w+)\{(.*)\} (\S+)", line)
        if match:
            labels = dict(re.findall(r'(\w+)="([^"]*)",?', match[2]))
            assert labels.pop("Hostname")
            found[match[1], frozenset(labels.items())] = float(match[3])
    return found


def series(name: str, model: str, **labels: str) -> Series:
    return name, frozenset({"model": model, "version": "1.0", **labels}.items())


def counted(server: Running, send: Callable[[], object], model: str, batch_requests: int) -> dict[str, float]:
    """What the model's series grew by while `send` ran, without zeros: by name, or by code."""
    before = parsed(scraped(server))
    send()
    wanted = before.get(series("pthserve_batch_requests_sum", model), 0) + batch_requests
    after = dict(before)

    def arrived() -> bool:  # a batch's requests are told last
        after.update(parsed(scraped(server)))
        return after.get(series("pthserve_batch_requests_sum", model)) == wanted

    server.wait(arrived, DEADLINE)
    grown = {}
    for (name, labels), value in after.items():
        known = dict(labels)
        if known.pop("model") == model and known.pop("version") == "1.0" and "le" not in known:
            key = known.get("code", name)
            grown[key] = value - before.get((name, labels), 0)
    return {key: value for key, value in grown.items() if value}


def post(server: Running, model: str, body: bytes, version: str | None = None) -> requests.Response:
    return session().post(server.inference.endpoint(model, version), data=body, timeout=60)


@pytest.fixture(scope="module")
def good(server: Running) -> dict[str, bytes]:
    return {
        "digits_cnn": picture("PNG"),
        "mobilenet_v2": picture("JPEG"),
        "diabetes": json.dumps(VECTOR).encode(),
    }


@pytest.fixture(scope="module", autouse=True)
def warm(server: Running, good: dict[str, bytes]) -> None:
    """A series is there once it has a value."""
    for model, body in good.items():
        assert counted(server, partial(post, server, model, body), model, 1)["ok"] == 1


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_metric_is_there_with_its_type_and_its_unit(server: Running, metric: Metric) -> None:
    lines = scraped(server).splitlines()
    kind = metric.kind.lower()
    assert f"# TYPE {metric.name} {kind}" in lines
    assert f"# HELP {metric.name} Torchserve prometheus {kind} metric with unit: {metric.unit}" in lines


@pytest.mark.parametrize("model", MODELS)
def test_each_model_has_every_metric_with_its_labels(server: Running, model: str) -> None:
    found = parsed(scraped(server))
    for name in HISTOGRAMS:
        assert found[series(f"{name}_sum", model)] > 0
        assert found[series(f"{name}_count", model)] > 0
        assert found[series(f"{name}_bucket", model, le="+Inf")] == found[series(f"{name}_count", model)]
    assert found[series("pthserve_items_total", model, code="ok")] > 0
    executes = {"runtime": "eager", "precision": "float32", "fallback": "no", "device": "cpu"}
    assert found[series("pthserve_model_info", model, **executes, assumed="nothing")] == 1


@pytest.mark.parametrize("model", MODELS)
def test_counts_are_those_of_what_was_sent(server: Running, good: dict[str, bytes], model: str) -> None:
    bad = {b"{}": 400, b"": 400, b"%PDF-1.7": 415, b"GIF89a": 415}
    codes = {"ok": 5, "wrong_field": 1, "empty_body": 1, "unsupported_type": 2}
    bodies = [good[model]] * 5 + list(bad)

    def send() -> None:
        statuses = [post(server, model, body).status_code for body in bodies]
        assert statuses == [200] * 5 + list(bad.values())

    found = counted(server, send, model, len(bodies))
    assert {key: value for key, value in found.items() if not key.startswith("pthserve")} == codes
    # one after the other: each request is a batch of its own
    assert {found[f"{name}_count"] for name in HISTOGRAMS} == {len(bodies)}
    assert found["pthserve_batch_requests_sum"] == len(bodies)
    assert all(0 < found[f"{metric.name}_sum"] < 60 for metric in PHASES.values())


def test_requests_that_arrive_together_are_fewer_batches(server: Running, good: dict[str, bytes]) -> None:
    def send() -> None:
        with ThreadPoolExecutor(24) as pool:
            replies = pool.map(lambda _: post(server, "diabetes", good["diabetes"]).status_code, range(240))
            assert set(replies) == {200}

    found = counted(server, send, "diabetes", 240)
    assert found["ok"] == 240
    assert {found[f"{name}_count"] for name in HISTOGRAMS} == {found[BATCHES]}
    print(f"240 requests, 24 at a time, came in {found[BATCHES]:.0f} batches")
    assert found[BATCHES] < 240


def test_items_of_a_list_are_counted_one_by_one(server: Running) -> None:
    def send() -> None:
        for items, status in (([VECTOR] * 4, 200), ([VECTOR, [1e39] * 10, VECTOR], 400)):
            assert post(server, "diabetes", json.dumps(items).encode()).status_code == status

    found = counted(server, send, "diabetes", 2)
    assert (found["ok"], found["not_finite"], found["bad_items"]) == (4, 1, 2)
    assert found[BATCHES] == 2


def test_other_models_count_nothing_of_it(server: Running, good: dict[str, bytes]) -> None:
    before = parsed(scraped(server))
    counted(server, lambda: post(server, "diabetes", good["diabetes"]), "diabetes", 1)
    after = parsed(scraped(server))
    changed = {
        dict(labels)["model"]
        for key, value in after.items()
        if before.get(key) != value
        for labels in key[1:]
    }
    assert changed == {"diabetes"}


@pytest.mark.parametrize(
    ("body", "version", "status"), [(None, None, 200), (None, "1.0", 200), (b"x", None, 400)]
)
def test_answers_of_ours_name_their_version(
    server: Running, good: dict[str, bytes], body: bytes | None, version: str | None, status: int
) -> None:
    answer = post(server, "diabetes", good["diabetes"] if body is None else body, version)
    assert (answer.status_code, answer.headers["x-model-version"]) == (status, "1.0")


def test_answers_of_torchserve_itself_name_none(server: Running) -> None:
    answer = post(server, "nobody", b"x")
    assert answer.status_code == 404
    assert "x-model-version" not in answer.headers


def test_a_field_of_a_form_may_carry_the_request_id(server: Running) -> None:
    fields = {"x-request-id": b"gateway-7", "data": b"nonsense{"}
    behind = Inference(server.config.inference.url)  # where no gateway has given it one
    reply = behind.predict("diabetes", None, files=fields)
    assert reply.json()["error"]["code"] == "bad_json"
    assert reply.json()["request_id"] == "gateway-7"


def test_the_log_has_no_lines_of_metrics(server: Running) -> None:
    assert "[METRICS]" not in server.log()
