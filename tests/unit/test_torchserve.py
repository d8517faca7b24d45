"""Java is started anew at once, whatever the last one was up to, and its last words are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import config
from scripts.serving import torchserve
from scripts.serving.torchserve import TorchServe
from tests.server.running import private_places

JAVA = """#!/bin/sh
trap '' TERM
echo "its own words $$"
while :; do sleep 1; done
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TorchServe]:
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(JAVA)
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    monkeypatch.setattr(torchserve, "_check_length", lambda scratch: None)
    places = private_places(tmp_path / "private")
    found = TorchServe(config.effective(config.load(places.config), places.store), places.logs)
    yield found
    monkeypatch.setattr(torchserve, "STOP_TIMEOUT", 0.1)
    found.stop()


def words(server: TorchServe, count: int) -> list[str]:
    """What was printed, once there are so many lines."""
    deadline = time.monotonic() + 20
    while len(lines := server.console.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return lines


def test_a_java_that_doesnt_heed_a_request_to_end_holds_nobody_up(server: TorchServe) -> None:
    server.start()
    words(server, 1)
    begun = time.monotonic()
    server.start()
    assert time.monotonic() - begun < torchserve.STOP_TIMEOUT / 4
    assert server.alive()


def test_what_java_said_before_it_ended_is_kept(server: TorchServe) -> None:
    server.start()
    (first,) = words(server, 1)
    server.start()
    assert words(server, 2)[0] == first


def test_what_java_says_is_bounded(server: TorchServe) -> None:
    server.start()
    words(server, 1)
    with server.console.open("ab") as console:
        console.truncate(torchserve.LARGEST_CONSOLE + 1)
    server.start()
    words(server, 1)
    assert server.console.stat().st_size < 1000
