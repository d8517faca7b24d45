"""`docker-compose up`, run as users run it, in a project of its own on the engine that answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import requests

from scripts import catalog
from scripts.calling.inference import Inference
from scripts.catalog import Entry
from scripts.places import ROOT, Places

BUILD_TIMEOUT = 1200  # s; 2 minutes were seen on two busy cores without any cached layer
READY_TIMEOUT = 300  # s; every worker imports PyTorch
STOP_TIMEOUT = 180  # s
CACHE = "pthserve-tests"
"""The image that stays when a project is taken down: it holds the layers that the next build starts from."""


class Composed:
    """One project: built by `build`, started by `up`, removed without a trace but CACHE by `down`."""

    def __init__(self, compose: list[str]) -> None:
        self.project = f"pthserve-test-{uuid4().hex[:8]}"
        self.entries, _ = catalog.chosen(Places(), ())
        self._compose = [*compose, "--project-name", self.project]

    def build(self) -> None:
        began = time.monotonic()
        self.compose("build", timeout=BUILD_TIMEOUT)
        print(f"built in {time.monotonic() - began:.0f} s")

    def up(self) -> None:
        """Started, and every model answers its first sample."""
        began = time.monotonic()
        self.compose("up", "--detach", "--no-build")
        waiting = list(self.entries)
        self.inference = Inference(f"http://{self.compose('port', 'node', '8000').strip()}")
        while waiting := [entry for entry in waiting if not self._answers(entry)]:
            self._still(began, ", ".join(entry.name for entry in waiting))
        print(f"{len(self.entries)} models answer after {time.monotonic() - began:.1f} s")

    def wait(self, fact: Callable[[], bool]) -> None:
        began = time.monotonic()
        while not fact():
            self._still(began, "the fact")

    def _still(self, began: float, awaited: str) -> None:
        assert time.monotonic() - began < READY_TIMEOUT, f"waited in vain for {awaited}"
        state = self.inspect()
        assert state["State"]["Running"], state["State"]
        assert state["RestartCount"] == 0, state["State"]
        time.sleep(0.2)

    def _answers(self, entry: Entry) -> bool:
        try:
            return self.inference.predict(entry.name, first_sample(entry)).status == 200
        except requests.RequestException:
            return False

    def stop(self) -> dict[str, Any]:
        """The container's state after `docker-compose stop`."""
        self.compose("stop", timeout=STOP_TIMEOUT)
        state: dict[str, Any] = self.inspect()["State"]
        return state

    def down(self) -> None:
        container = self.container()
        if container:
            before = docker("images", "--quiet", "--no-trunc", CACHE).strip()
            image = self.inspect()["Image"]
            docker("tag", image, CACHE)
            if before and before != image:
                subprocess.run(["docker", "rmi", before], capture_output=True, check=False)
        self.compose("down", "--volumes", "--rmi", "local", timeout=STOP_TIMEOUT)

    def container(self) -> str:
        """The container's id; "" before there is one."""
        return docker(
            "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}"
        ).strip()

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.container()))[0]
        return found

    def said(self) -> str:
        """What `docker-compose logs` shows."""
        return self.compose("logs", "--no-color")

    def log(self) -> str:
        """TorchServe's."""
        read = ["docker", "exec", self.container(), "cat", "/var/lib/pthserve/logs/torchserve.log"]
        return subprocess.run(read, capture_output=True, text=True, check=False).stdout

    def compose(self, *words: str, timeout: float = STOP_TIMEOUT) -> str:
        return output([*self._compose, *words], timeout)


def first_sample(entry: Entry) -> bytes:
    return (entry.folder / entry.recipe.handler.samples[0].input).read_bytes()


def docker(*words: str) -> str:
    return output(["docker", *words], STOP_TIMEOUT)


def output(command: list[str], timeout: float) -> str:
    """On any port that is free: Docker chooses one for 0."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PTHSERVE_PORT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def require_engine() -> list[str]:
    """The words that run docker-compose; skips where it, an engine or the base image is absent."""
    if not _works("docker", "info"):
        pytest.skip("no Docker engine answers")
    found = [words for words in (["docker-compose"], ["docker", "compose"]) if _works(*words, "version")]
    if not found:
        pytest.skip("docker-compose is not installed")
    (base,) = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if not _works("docker", "image", "inspect", base) and not _works("docker", "pull", base):
        pytest.skip(f"the image {base} is not there and can't be pulled")
    return found[0]


def _works(*words: str) -> bool:
    if shutil.which(words[0]) is None:
        return False
    try:
        return subprocess.run(words, capture_output=True, timeout=300, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
