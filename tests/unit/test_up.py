"""`up` says what comes up, and neither a model that goes meanwhile nor a reader who has gone holds it up."""

from __future__ import annotations

import errno
import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from scripts import config, up
from scripts.errors import CommandError
from scripts.places import ROOT, Places
from scripts.serving.startup import Plan
from scripts.state.observed import SeenModel, SeenVersion, State
from scripts.up import Up
from tests.states import model, pack, printed, seen, store


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(store=tmp_path / "store", state=tmp_path / "state")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


Begin = Callable[..., Up]


@pytest.fixture
def begin(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """An `up` that brings back the named models."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = []

    def begin(console: Console, *names: str) -> Up:
        plan = Plan({name: [] for name in names}, [], {}, [], [])
        settings = config.load(ROOT / "config.properties")
        made.append(Up(places, plan, settings, False, threading.Event(), console))
        return made[-1]

    yield begin
    for ours in made:
        ours._supervisor.stop()


def one(state: State, version: str = "1.0") -> SeenModel:
    return SeenModel(version, {version: SeenVersion(state, 1, int(state == "ready"))})


def test_it_serves_once_each_model_has_come_up_or_failed(
    places: Places, begin: Begin, console: Console
) -> None:
    for name in "abc":
        pack(places.store, name)
    store(places, a=model("1.0"), b=model("1.0"), c=model("1.0"))
    ours = begin(console, "a", "b", "c")
    ours._see(seen(1, a=one("ready"), b=one("failed"), c=one("loading")))
    assert printed(console).splitlines() == ["✓ a: READY", "✗ b: "]
    ours._see(seen(1, a=one("ready"), b=one("failed"), c=one("recovering")))
    assert "✓ c" not in printed(console), "no worker of it is READY"
    ours._see(seen(1, a=one("ready"), b=one("failed"), c=one("ready")))
    assert printed(console).count("serving; Ctrl-C stops") == 1


@pytest.mark.parametrize("leaves", [True, False])
def test_a_model_that_is_unregistered_while_it_comes_up_isnt_waited_for(
    places: Places, begin: Begin, console: Console, leaves: bool
) -> None:
    pack(places.store, "a")
    store(places, a=model("1.0"), b=model("1.0"))
    ours = begin(console, "a", "b")
    ours._see(seen(1, a=one("ready")))
    assert "serving" not in printed(console), "b is wanted, and will be seen"
    store(places, a=model("1.0"), b=model("1.0", leaving=("1.0",)))
    ours._see(seen(2, a=one("ready"), **({"b": one("leaving")} if leaves else {})))
    assert "serving; Ctrl-C stops" in printed(console)
    assert "✓ b" not in printed(console)


def test_where_nothing_comes_up_it_ends(places: Places, begin: Begin, console: Console) -> None:
    store(places, a=model("1.0"))
    with pytest.raises(CommandError, match="no model is READY"):
        begin(console, "a")._see(seen(1, a=one("failed")))


class Gone(io.StringIO):
    """A terminal that was closed, or a pipe whose reader has ended."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.error = OSError(number, "gone")  # a BrokenPipeError, if the number says so

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE])
def test_it_serves_on_and_drains_when_nobody_reads_what_it_says(
    places: Places, begin: Begin, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(Console, "on_broken_pipe", lambda self: (_ for _ in ()).throw(SystemExit(1)))
    pack(places.store, "a")
    store(places, a=model("1.0"))
    ours = begin(Console(file=Gone(number)), "a")
    drained = []
    for name, call in {
        "start": lambda: None,
        "run": lambda stop, each: each(seen(1, a=one("ready"))),
        "drain": lambda: drained.append(True),
    }.items():
        monkeypatch.setattr(ours._supervisor, name, call)
    assert ours.run() == 0
    assert drained == [True]


def test_a_signal_while_some_models_still_come_up_lets_the_others_answer_what_they_have(
    begin: Begin, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, drained = begin(console, "a"), []
    monkeypatch.setattr(ours._supervisor, "start", lambda: None)
    monkeypatch.setattr(ours._supervisor, "run", lambda stop, each: stop.set())
    monkeypatch.setattr(ours._supervisor, "drain", lambda: drained.append(True))
    assert ours.run() == up.INTERRUPTED
    assert drained == [True]


@pytest.mark.parametrize(
    ("host", "gateway", "given", "insecure", "refused"),
    [
        ("127.0.0.1", True, {}, False, ""),
        ("localhost", True, {}, False, ""),
        ("::1", True, {}, False, ""),
        ("0.0.0.0", True, {}, False, "give --keys FILE"),
        ("::", True, {}, False, "or --insecure"),
        ("0.0.0.0", True, {}, True, ""),
        ("0.0.0.0", True, {"gateway_keys": "keys.yaml"}, False, ""),
        (
            "0.0.0.0",
            True,
            {"gateway_tls_certificate": "c", "gateway_tls_key": "k"},
            False,
            "give --keys FILE",
        ),
        (
            "0.0.0.0",
            True,
            {"gateway_tls_certificate": "c", "gateway_tls_key": "k", "gateway_tls_client_ca": "a"},
            False,
            "",
        ),
        ("0.0.0.0", False, {}, False, "0.0.0.0:8080 (inference_address) is open to other machines"),
        ("0.0.0.0", False, {}, True, ""),
        ("127.0.0.1", False, {"gateway_keys": "keys.yaml"}, False, "leave out --no-gateway"),
        ("127.0.0.1", False, {"gateway_tracing": "http://127.0.0.1:4318"}, True, "leave out --no-gateway"),
    ],
)
def test_no_door_is_open_by_accident(
    host: str, gateway: bool, given: dict[str, str], insecure: bool, refused: str
) -> None:
    settings = config.given(config.load(ROOT / "config.properties"), given)
    settings = config.opened(settings, host, gateway=gateway)
    if refused:
        with pytest.raises(CommandError) as caught:
            up.check_doors(settings, gateway=gateway, insecure=insecure)
        assert refused in str(caught.value)
    else:
        up.check_doors(settings, gateway=gateway, insecure=insecure)


@pytest.mark.parametrize("gateway", [True, False])
@pytest.mark.parametrize(
    "key",
    [
        "inference_address",
        "management_address",
        "metrics_address",
        "grpc_inference_address",
        "grpc_management_address",
        "gateway_metrics_address",
    ],
)
def test_keys_guard_the_gateway_and_nothing_beside_it(key: str, gateway: bool) -> None:
    shipped = config.load(ROOT / "config.properties")
    opened = shipped.properties[key].replace("127.0.0.1", "0.0.0.0")
    keys = {"gateway_keys": "keys.yaml"} if gateway else {}
    settings = config.given(shipped, {key: opened, **keys})
    up.check_doors(settings, gateway=gateway, insecure=True)
    if key == "gateway_metrics_address" and not gateway:  # nobody listens there
        up.check_doors(settings, gateway=gateway, insecure=False)
        return
    with pytest.raises(CommandError) as caught:
        up.check_doors(settings, gateway=gateway, insecure=False)
    named = key.replace("address", "port") if key.startswith("grpc") else key
    assert f"({named}) is open to other machines" in str(caught.value)


def test_the_curl_lines_bring_what_the_gateway_asks_for() -> None:
    settings = config.load(ROOT / "config.properties")
    assert up.curl_options(settings) == ""
    given = {"gateway_keys": "k", "gateway_tls_certificate": "c", "gateway_tls_key": "k"}
    told = up.curl_options(config.given(settings, given))
    assert told == '-H "x-api-key: $PTHSERVE_KEY" --cacert "$PTHSERVE_CA"'
