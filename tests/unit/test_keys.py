"""The file of callers: what it may say, and what is told of a wrong one, which is never a key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.errors import CommandError
from scripts.gateway import access
from scripts.gateway.keys import KeyFile, parsed
from scripts.gateway.replies import Document
from scripts.gateway.routing import Caller, ModelRoutes, Page, Route, Routing

FILE = Path("/etc/keys.yaml")
ONE, TWO = "one-key-of-many-characters", "two-key-of-many-characters"


def test_callers_as_the_file_has_them() -> None:
    text = f"""
    callers:
      nightly: {{keys: [{ONE}, "{TWO}"]}}
      mobile-app: {{key: another-long-enough-key, models: [cat], rate: 50, burst: 100}}
      slow: {{key: the-key-of-the-slow, rate: 1.5}}
    """
    assert parsed(text.encode(), FILE) == (
        Caller("mobile-app", ("another-long-enough-key",), ("cat",), 50, 100),
        Caller("nightly", (ONE, TWO), (), 0, 1),
        Caller("slow", ("the-key-of-the-slow",), (), 1.5, 2),
    )
    assert parsed(f"callers: {{a: {{key: {ONE}, models: all}}}}".encode(), FILE)[0].models == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: b: c", "is no YAML (line 1)"),
        ("a: 2020-13-45", "is no YAML"),
        (b"\xff\xfe\x00".decode("latin-1"), "is no YAML"),
        (f"callers:\n  a: {{key: {ONE}}}\n  a: {{key: {TWO}}}", "has a name twice (line 3)"),
        (f"callers:\n  a: {{key: {ONE}, key: {TWO}}}", "has a name twice (line 2)"),
        (f"callers: {{a: {{{ONE}: 1, {ONE}: 2}}}}", "has a name twice (line 1)"),
        ("", "Expected `object`"),
        ("keys: {}", "unknown field `keys`"),
        ("{}", "missing required field `callers`"),
        ("callers: {'a b': {key: x}}", "matching regex"),
        ("callers: {a: {}}", "callers.a: has no key; a caller has key or keys"),
        (f"callers: {{a: {{key: {ONE}, keys: [{TWO}]}}}}", "callers.a: has both key and keys"),
        ("callers: {a: {key: shh}}", "callers.a: a key has 3 characters; must have at least 16"),
        ("callers: {a: {key: 'secret words in a row'}}", "callers.a: a key has a space"),
        ("callers: {a: {key: 'sécret-words-in-a-row'}}", "that no header can carry"),
        (f"callers: {{a: {{key: {ONE}}}, b: {{key: {ONE}}}}}", "callers.b: its key is a's, too"),
        (f"callers: {{a: {{keys: [{ONE}, {ONE}]}}}}", "callers.a: its key is a's, too"),
        (f"callers: {{a: {{key: {ONE}, rate: 0.1}}}}", "rate is 0.1; a caller has"),
        (f"callers: {{a: {{key: {ONE}, rate: fast}}}}", "rate is 'fast'; a caller has"),
        (f"callers: {{a: {{key: {ONE}, burst: 5}}}}", "callers.a: burst is 5 without a rate"),
        (f"callers: {{a: {{key: {ONE}, models: []}}}}", "callers.a: models is []; name some"),
        (f"callers: {{a: {{key: {ONE}, model: cat}}}}", "unknown field `model`"),
        ("callers: {a: {key: 12345678901234567}}", "callers.a: Expected `str`, got `int`"),
    ],
)
def test_what_is_wrong_is_told_with_its_caller_and_without_keys(text: str, told: str) -> None:
    with pytest.raises(CommandError) as caught:
        parsed(text.encode(), FILE)
    said = str(caught.value)
    assert told in said
    assert said.startswith(str(FILE))
    for key in (ONE, TWO, "shh", "secret", "12345678901234567"):
        assert key not in said


def written(path: Path, *names: str) -> None:
    """In one step, as editors and secret stores do it."""
    lines = [f"  {name}: {{key: {name * 16}}}\n" for name in names]
    beside = path.with_suffix(".new")
    beside.write_text("callers:\n" + "".join(lines), encoding="utf-8")
    beside.chmod(0o600)
    beside.replace(path)


def test_it_is_read_again_when_it_has_changed_and_the_last_good_one_stays(tmp_path: Path) -> None:
    path, said = tmp_path / "keys.yaml", list[str]()
    written(path, "a")
    file = KeyFile(path, said.append)
    assert (file.refresh(), file.refresh()) == (True, False)
    written(path, "b")  # as long as before
    os.utime(path, ns=(0, 0))
    assert (file.refresh(), [one.name for one in file.callers]) == (True, ["b"])
    path.write_text("callers: {c: {key: short}}", encoding="utf-8")
    for _ in range(2):  # each time, until it is right
        with pytest.raises(CommandError, match=r"keys\.yaml: callers\.c: a key has 5 characters"):
            file.refresh()
    path.unlink()
    with pytest.raises(CommandError, match=r"keys\.yaml: can't be read"):
        file.refresh()
    assert [one.name for one in file.callers] == ["b"]
    written(path, "d", "e")
    assert (file.refresh(), [one.name for one in file.callers]) == (True, ["d", "e"])
    assert said == []


def test_a_file_that_everybody_can_read_is_told_once(tmp_path: Path) -> None:
    path, said = tmp_path / "keys.yaml", list[str]()
    file = KeyFile(path, said.append)
    for mode in (0o644, 0o644, 0o640, 0o644):
        written(path, "a")
        path.chmod(mode)
        file.refresh()
    assert len(said) == 2
    assert "chmod 600" in said[0]


def guarded(*callers: Caller) -> Document:
    pages = {"/": Page("text/html", b"", open=True), "/endpoints": Page("application/json", b"")}
    models = {"cat": ModelRoutes({"1.0": Route(1)}, "1.0")}
    routes = [
        {"match": {"path": "/healthz"}},
        {"match": {"path": "/"}},
        {"match": {"path": "/endpoints"}},
        {"match": {"path": "/predictions/cat"}, "route": {"cluster": "cat/1.0"}},
        {
            "match": {"path": "/predictions/dog"},
            "route": {"weighted_clusters": {"clusters": [{"name": "dog/1.0"}, {"name": "dog/2.0"}]}},
            "typed_per_filter_config": {"bridge": {}},
        },
        {"match": {"prefix": "/"}, "route": {"cluster": "whole"}},
    ]
    routing = Routing(models, True, True, pages=pages, callers=callers)
    return access.guarded({"name": "callers", "domains": ["*"], "routes": routes}, routing)


def test_what_asks_for_no_key_is_named_and_everything_else_asks() -> None:
    host = guarded(Caller("a", (ONE,)))
    off = [
        route["match"].get("path")
        for route in host["routes"]
        if route.get("typed_per_filter_config", {}).get("envoy.filters.http.api_key_auth", {}).get("disabled")
    ]
    assert off == ["/healthz", "/"]
    keys = host["typed_per_filter_config"]["envoy.filters.http.api_key_auth"]
    assert keys["credentials"] == [{"key": ONE, "client": "a"}]
    assert "envoy.filters.http.local_ratelimit" not in host["typed_per_filter_config"]
    assert host["request_headers_to_remove"] == ["x-api-key", "authorization"]


def test_a_model_is_guarded_on_every_route_that_leads_to_it() -> None:
    host = guarded(Caller("a", (ONE,)), Caller("b", (TWO,), ("dog",)))
    found = [route.get("typed_per_filter_config", {}) for route in host["routes"]]
    rules = [
        one["envoy.filters.http.rbac"]["rbac"]["rules"] for one in found if "envoy.filters.http.rbac" in one
    ]
    (cat,) = rules  # everybody may call dog
    assert [p["header"]["string_match"]["exact"] for p in cat["policies"]["callers"]["principals"]] == ["a"]
    assert "bridge" in found[4]
    nobody = guarded(Caller("b", (TWO,), ("dog",)))["routes"][3]["typed_per_filter_config"]
    assert nobody["envoy.filters.http.rbac"]["rbac"]["rules"] == {"action": "ALLOW", "policies": {}}


def test_buckets_fill_at_the_callers_rate() -> None:
    host = guarded(Caller("a", (ONE,), (), 1.5, 7), Caller("b", (TWO,)))
    rates = host["typed_per_filter_config"]["envoy.filters.http.local_ratelimit"]
    (bucket,) = rates["descriptors"]
    assert bucket["entries"] == [{"key": "caller", "value": "a"}]
    assert bucket["token_bucket"] == {"max_tokens": 7, "tokens_per_fill": 2, "fill_interval": "1.333333s"}


def test_nobody_is_asked_where_no_keys_are_given() -> None:
    host = {"name": "callers", "routes": [{"match": {"path": "/x"}}]}
    assert access.guarded(host, Routing({}, True, True)) == host
