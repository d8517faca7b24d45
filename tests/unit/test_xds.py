"""Routing -> routes and clusters: what Envoy is told. tests/server/test_gateway*.py ask the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import config
from scripts.gateway import bootstrap, mappers, replies, routes, xds
from scripts.gateway.routing import ModelRoutes, Route, Routing
from scripts.places import ROOT

UPSTREAMS = xds.Upstreams(("127.0.0.1", 8080), ("127.0.0.1", 7070), Path("torchserve.lua"))
LIMIT = 1000


def routing(**models: ModelRoutes) -> Routing:
    return Routing(models, healthy=True, ready=True)


def found(of: Routing, method: str, path: str, *, limit: int = LIMIT, **headers: str) -> dict[str, Any]:
    """The first route that matches, by the matchers that routes.py uses."""
    given = {":method": method, "content-length": "1", **headers}
    return next(route for route in routes.routes(of, limit) if _matches(route["match"], path, given))


def _matches(match: dict[str, Any], path: str, headers: dict[str, str]) -> bool:
    pattern = match.get("safe_regex", {}).get("regex", re.escape(match.get("path", "")))
    on_path = path.startswith(match["prefix"]) if "prefix" in match else re.fullmatch(pattern, path)
    on_grpc = "grpc" not in match or headers.get("content-type") == "application/grpc"
    return bool(on_path) and on_grpc and all(_has(headers, wanted) for wanted in match.get("headers", []))


def _has(headers: dict[str, str], wanted: dict[str, Any]) -> bool:
    value = headers.get(wanted["name"])
    if "present_match" in wanted:
        return (value is not None) == wanted["present_match"]
    if value is None:
        return False
    if "range_match" in wanted:
        return bool(wanted["range_match"]["start"] <= int(value) < wanted["range_match"]["end"])
    text = wanted["string_match"]
    return (
        value == text["exact"] if "exact" in text else bool(re.fullmatch(text["safe_regex"]["regex"], value))
    )


def code(route: dict[str, Any]) -> str:
    said = route["direct_response"]
    text = said["body"] if "body" in said else said["body_format"]["text_format_source"]
    return str(json.loads(text["inline_string"])["code"])


CAT = ModelRoutes({"1.0": Route(2.5), "2.0": Route(9.0, "is loading")}, "1.0")
BY_GRPC = {"content-type": "application/grpc", routes.WHOLE: "yes", routes.MODEL: "cat"}


def test_no_version_named_is_rewritten_to_the_default() -> None:
    route = found(routing(cat=CAT), "POST", "/predictions/cat")["route"]
    assert (route["cluster"], route["prefix_rewrite"]) == ("cat/1.0", "/predictions/cat/1.0")
    assert route["timeout"] == "2.500s"
    assert float(route["idle_timeout"].rstrip("s")) > 2.5


def test_a_version_has_a_cluster_for_each_protocol() -> None:
    leaving = ModelRoutes({"1.0": Route(1, leaving=True), "2.0": Route(1)}, "2.0")
    names = [cluster["name"] for cluster in xds.clusters(routing(cat=leaving), UPSTREAMS)]
    assert names == ["cat/1.0", "cat/1.0/grpc", "cat/2.0", "cat/2.0/grpc"]
    ports = [
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"][
            "socket_address"
        ]["port_value"]
        for cluster in xds.clusters(routing(cat=leaving), UPSTREAMS)
    ]
    assert ports == [8080, 7070, 8080, 7070]


def test_grpc_is_routed_by_what_its_message_names() -> None:
    of = routing(cat=CAT)
    assert found(of, "POST", routes.PREDICTIONS, **BY_GRPC)["route"]["cluster"] == "cat/1.0/grpc"
    named = {**BY_GRPC, routes.VERSION: "2.0"}
    assert code(found(of, "POST", routes.PREDICTIONS, **named)) == "not_ready"
    named = {**BY_GRPC, routes.VERSION: "3.0"}
    assert code(found(of, "POST", routes.PREDICTIONS, **named)) == "unknown_version"
    first = {"content-type": "application/grpc"}
    assert found(of, "POST", routes.PREDICTIONS, **first)["route"]["cluster"] == "whole"


def test_an_older_archive_is_asked_by_its_own_protocol_alone() -> None:
    of = routing(cat=ModelRoutes({"1.0": Route(1, predictions_only=True)}, "1.0"))
    assert found(of, "POST", "/predictions/cat")["route"]["cluster"] == "cat/1.0"
    assert found(of, "POST", routes.PREDICTIONS, **BY_GRPC)["route"]["cluster"] == "cat/1.0/grpc"
    for path in ("/v1/models/cat:predict", "/v2/models/cat/infer", "/v2/models/cat/versions/1.0/infer"):
        assert found(of, "POST", path)["direct_response"]["status"] == 501
    assert found(of, "POST", routes.INFER, **BY_GRPC)["direct_response"]["status"] == 501


def test_each_retries_once_and_none_on_a_status() -> None:
    for route in routes.routes(routing(cat=CAT), LIMIT):
        policy = route.get("route", {}).get("retry_policy")
        assert policy is None or policy["num_retries"] == 1
        assert policy is None or policy["retry_on"] == "connect-failure,reset,retriable-headers"


def test_names_with_dots_match_only_themselves() -> None:
    of = routing(**{"a.b": ModelRoutes({"1.0": Route(1)}, "1.0")})
    assert found(of, "POST", "/predictions/a.b")["route"]["cluster"] == "a.b/1.0"
    assert code(found(of, "POST", "/predictions/axb")) == "unknown_model"
    assert code(found(of, "POST", "/predictions/axb/9")) == "unknown_model"
    assert code(found(of, "POST", "/predictions/a.b/1x0")) == "unknown_version"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (ModelRoutes({"1.0": Route(1, "is loading")}, "1.0"), "not_ready"),
        (ModelRoutes({"1.0": Route(1, "is loading")}, ""), "not_ready"),
        (ModelRoutes({"1.0": Route(1, leaving=True)}, ""), "unknown_model"),
        (ModelRoutes({}, ""), "unknown_model"),
    ],
)
def test_who_cant_answer_says_why(model: ModelRoutes, expected: str) -> None:
    assert code(found(routing(cat=model), "POST", "/predictions/cat")) == expected
    assert code(found(routing(cat=model), "GET", "/ready/cat")) == expected


def test_a_version_that_leaves_is_named_by_no_route() -> None:
    model = ModelRoutes({"old": Route(1, leaving=True), "new": Route(1)}, "new")
    text = json.dumps(routes.routes(routing(cat=model), LIMIT))
    assert ("cat/new" in text, "cat/old" in text) == (True, False)


def test_stopping_lets_in_only_what_was_accepted_before() -> None:
    of = Routing({"cat": CAT}, healthy=True, ready=False, stopping=True)
    assert code(found(of, "POST", "/predictions/cat")) == "stopping"
    assert code(found(of, "GET", "/ready")) == "stopping"
    assert found(of, "GET", "/healthz")["direct_response"]["status"] == 200
    assert found(of, "POST", "/predictions/cat", **{routes.WHOLE: "yes"})["route"]["cluster"] == "cat/1.0"


@pytest.mark.parametrize(("length", "refused"), [(LIMIT, False), (LIMIT + 1, True), (2**62, True)])
def test_the_limit(length: int, refused: bool) -> None:
    route = found(routing(cat=CAT), "POST", "/predictions/cat", **{"content-length": str(length)})
    assert ("direct_response" in route) == refused


@pytest.mark.parametrize(
    ("given", "cluster"),
    [
        ({"content-length": str(routes.LARGE - 1)}, "cat/1.0"),
        ({"content-length": str(routes.LARGE)}, "whole"),
        ({"content-length": str(routes.LARGE), routes.WHOLE: "yes"}, "cat/1.0"),
    ],
)
def test_what_is_large_is_read_whole_first(given: dict[str, str], cluster: str) -> None:
    route = found(routing(cat=CAT), "POST", "/predictions/cat", limit=10 * routes.LARGE, **given)
    assert route["route"]["cluster"] == cluster


def test_no_version_has_fewer_connections_than_all_callers_together() -> None:
    """Else those who only hold theirs open would keep all others from a model."""
    (cluster, _) = xds.clusters(routing(dog=ModelRoutes({"1": Route(1)}, "1")), UPSTREAMS)
    assert cluster["circuit_breakers"]["thresholds"][0]["max_connections"] >= xds.CONNECTIONS


def test_the_script_is_spared_for_good_answers_over_rest_alone() -> None:
    """Over gRPC an error has the status 200, too."""
    rest, grpc = (
        cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
        for cluster in xds.clusters(routing(dog=ModelRoutes({"1": Route(1)}, "1")), UPSTREAMS)
    )
    spared, script = rest["http_filters"][0]["typed_config"], grpc["http_filters"][0]
    assert spared["extension_config"] == script
    assert script["name"] == "envoy.filters.http.lua"
    tree = spared["xds_matcher"]["matcher_tree"]
    assert tree["input"]["typed_config"]["header_name"] == ":status"
    assert list(tree["exact_match_map"]["map"]) == ["200"]


def test_scripts_speak_the_replies() -> None:
    scripts = bootstrap.scripts(LIMIT)
    assert sorted(scripts) == sorted(path.name for path in bootstrap.FOLDER.glob("*.lua"))
    for text in scripts.values():
        assert "${" not in text
    assert replies.UNREACHED.text in scripts["torchserve.lua"]
    assert f"more than {LIMIT} bytes" in scripts["torchserve.lua"]


def test_a_reason_is_no_format() -> None:
    """A percent sign in it would be one of Envoy's operators."""
    model = ModelRoutes({"1.0": Route(1, 'failed: 5% of "x" %REQ(x)%')}, "1.0")
    said = found(routing(cat=model), "POST", "/predictions/cat")["direct_response"]
    assert '5% of \\"x\\" %REQ(x)%' in said["body"]["inline_string"]


def test_every_refusal_says_what_to_do() -> None:
    told = [reply for _, reply in mappers.envoys_own(LIMIT)]
    told += [value for value in vars(replies).values() if isinstance(value, replies.Reply)]
    for reply in told:
        assert all(reply.body[key] for key in ("code", "message", "hint")), reply
        assert reply.status != 503 or reply.retry_after, reply


def test_the_bootstrap_is_filled_and_written_as_json(tmp_path: Path) -> None:
    settings = config.load(ROOT / "config.properties")
    document = bootstrap.document(settings, tmp_path, tmp_path / "gateway.log")
    text = json.dumps(document)
    assert "${" not in text
    listeners = {one["name"]: one for one in document["static_resources"]["listeners"]}
    assert listeners["public"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8000}
    assert document["admin"]["address"] == {"pipe": {"path": f"{tmp_path}/admin.sock", "mode": 0o600}}


def test_callers_take_little_of_the_main_threads_time(tmp_path: Path) -> None:
    """Two questions for latencies at once: each walks all statistics, and the supervisor asks there, too."""
    settings = config.load(ROOT / "config.properties")
    document = bootstrap.document(settings, tmp_path, tmp_path / "gateway.log")
    named = {one["name"]: one for one in document["static_resources"]["clusters"]}
    (bounds,) = named["latency"]["circuit_breakers"]["thresholds"]
    assert set(bounds.values()) == {2}
    assert (
        found(routing(cat=CAT), "GET", "/latency", **{":path": "/latency"})["route"]["cluster"] == "latency"
    )


def test_every_block_of_the_bootstrap_has_its_reason() -> None:
    text = (bootstrap.FOLDER / "envoy.yaml").read_text(encoding="utf-8")
    keys = yaml.safe_load(text).keys() - {"static_resources", "node"}
    for key in keys:
        before = text.partition(f"\n{key}:")[0].splitlines()
        assert any(line.startswith("#") for line in before[-3:]), key
