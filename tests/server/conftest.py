"""One TorchServe for the session, brought up by the command that users type."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.places import ROOT
from tests.server.gatewayed import Gatewayed, routing, started
from tests.server.running import Running, private_places, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Every model that has its weights (or can fetch them), READY."""
    with serving(private_places(tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture(scope="session")
def foreign_python() -> Path:
    """The interpreter of the foreign clients' own environment, made when its lock is new."""
    lock = ROOT / "tests" / "foreign" / "requirements.lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder = Path(sys.prefix) / "pthserve-foreign"
    stamp = folder / "stamp"
    if not stamp.is_file() or stamp.read_text(encoding="ascii") != wanted:
        uv = Path(sys.prefix) / "bin" / "uv"
        for words in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", "-r", lock],
        ):
            subprocess.run(words, check=True)
        stamp.write_text(wanted, encoding="ascii")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def running_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gatewayed]:
    """One Envoy before a fake TorchServe for each file of tests."""
    with started(Gatewayed(tmp_path_factory.mktemp("gateway"))) as gatewayed:
        yield gatewayed


@pytest.fixture
def gatewayed(running_gateway: Gatewayed) -> Gatewayed:
    """As it was at the start, whatever the test before this one made of it."""
    running_gateway.fake.forget()
    running_gateway.gateway.publish(routing())
    return running_gateway


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failing server test shows the end of the server's log."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    running = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(running, Running):
        report.sections.append(("TorchServe's log", running.log()[-6000:]))
