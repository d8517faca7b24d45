"""What processes really hold: PSS, where a page that several share counts once among them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from handlers import recipe
from handlers.errors import Refusal

WORKER = "model_service_worker.py"  # of TorchServe, on its workers' command lines

PROC = Path("/proc")


def pss(pids: Iterable[int]) -> int:
    """Bytes; what has ended meanwhile holds none."""
    return sum(_pss(pid) for pid in pids)


def _pss(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def tree(pid: int) -> list[int]:
    """A process and all below it; none when it has ended."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def workers(pid: int, name: str = "") -> list[int]:
    """TorchServe's workers below a process; with a name, those that serve this model.

    A worker's folder is the unpacked archive, whose recipe says which model it is.
    """
    found = [child for child in tree(pid) if _is_worker(child)]
    return [child for child in found if not name or _serves(child) == name]


def _is_worker(pid: int) -> bool:
    try:
        return any(word.endswith(WORKER) for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def _serves(pid: int) -> str:
    """The name of its model; "" where its folder holds none of our archives."""
    try:
        return recipe.load((PROC / str(pid) / "cwd").readlink()).handler.name
    except (OSError, Refusal):
        return ""


def busy(pids: Iterable[int]) -> float:
    """Seconds of processor time that these processes have used so far."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total
