"""Contestants that are asked over HTTP, whoever has started them."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import requests

from handlers.cores import cores
from scripts.benchmarking import loading, memory
from scripts.benchmarking.contestant import Contestant
from scripts.benchmarking.figures import Round
from scripts.benchmarking.program import Program
from scripts.benchmarking.target import Load, Target
from scripts.calling import credentials
from scripts.errors import CommandError
from scripts.processes.children import Children

SERVICES = "scripts.benchmarking.services"
PROBE_TIMEOUT = 60  # s


class Service(Contestant):
    """An URL, and the process whose tree serves it; None where that isn't on this machine."""

    def __init__(self, name: str, what: str, target: Target, pid: int | None, children: Children) -> None:
        """Raises CommandError unless the request is answered well."""
        self.name = name
        self.what = what
        self.target = target
        self.pid = pid
        self._children = children
        _probe(self)

    def load(self, connections: int, seconds: float) -> Round:
        return loading.round_of(Load(self.target, connections, seconds), self._children)

    def pids(self) -> list[int]:
        return [] if self.pid is None else memory.tree(self.pid)


def flask(folder: Path, target: Target, logs: Path, children: Children, stack: ExitStack) -> Service:
    """The tutorials' service for pictures."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", f"{SERVICES}.flask_service", str(folder), str(port)]
    program = stack.enter_context(Program("the Flask service", command, logs / "flask.log"))
    program.wait(lambda: _listens(port))
    what = "app.run(threaded=True), PIL, torchvision transforms, eager float32, torch's own threads"
    return Service("Flask", what, _at(target, port), program.pid, children)


def fastapi(folder: Path, target: Target, logs: Path, children: Children, stack: ExitStack) -> Service:
    """The tutorials' service for numbers."""
    (port,) = free_ports(1)
    options = ["--port", str(port), "--workers", str(cores()), "--loop", "uvloop", "--http", "httptools"]
    app = [f"{SERVICES}.fastapi_service:make_app", "--factory", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", *app, *options]
    started = logs / "fastapi"
    started.mkdir()
    environment = {"PTHSERVE_SERVED": str(folder), "PTHSERVE_STARTED": str(started)}
    program = stack.enter_context(
        Program("the FastAPI service", command, logs / "fastapi.log", env=environment)
    )
    at = _at(target, port)
    program.wait(lambda: len(list(started.iterdir())) == cores() and _answers(at))
    what = f"{cores()} uvicorn workers, uvloop, httptools, pydantic, eager float32, a torch thread each"
    return Service("FastAPI", what, at, program.pid, children)


def free_ports(count: int) -> list[int]:
    """Of loopback, each another; free now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _at(target: Target, port: int) -> Target:
    return Target(f"http://127.0.0.1:{port}/predict", target.file, target.items)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _answers(target: Target) -> bool:
    try:
        return _ask(target).status_code > 0
    except requests.RequestException:
        return False


def _probe(service: Service) -> None:
    try:
        answer = _ask(service.target)
    except requests.RequestException as error:
        raise CommandError(
            f"{service.name} at {service.target.url} doesn't answer ({type(error).__name__})",
            hint="is it up? scripts/pthserve status",
        ) from None
    if answer.status_code != 200:
        raise CommandError(
            f"{service.name} refuses {Path(service.target.file).name} ({answer.status_code}): "
            f"{answer.text[:300]}",
            hint="give a request that it answers: --input FILE",
        )


def _ask(target: Target) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands between us and loopback
        credentials.lend(session)
        body, headers = Path(target.file).read_bytes(), {"content-type": target.content_type}
        return session.post(target.url, body, headers=headers, timeout=PROBE_TIMEOUT)
