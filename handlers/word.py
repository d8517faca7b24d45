"""Word that a worker leaves for the supervisor, a small file for each version: TorchServe passes none on."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = "PTHSERVE_FAILURES"
"""Environment variable of the workers: where to leave it. Without it, nobody is told."""


def leave(name: str, version: str, kind: str, content: bytes) -> None:
    """In the place of what was left before; `kind` is the file's suffix. Raises OSError."""
    folder = os.environ.get(FOLDER)
    if folder:
        path = _path(Path(folder), name, version, kind)
        unfinished = path.with_suffix(f".{os.getpid()}")  # whoever looks meanwhile finds nothing, not a half
        unfinished.write_bytes(content)
        unfinished.replace(path)


def clear(folder: Path, name: str, version: str, kind: str) -> None:
    """Forget it: what is found afterwards was left since."""
    _path(folder, name, version, kind).unlink(missing_ok=True)


def find(folder: Path, name: str, version: str, kind: str) -> bytes | None:
    """What was left last; None when no worker of this version has."""
    try:
        return _path(folder, name, version, kind).read_bytes()
    except FileNotFoundError:
        return None


def _path(folder: Path, name: str, version: str, kind: str) -> Path:
    return folder / f"{name}-{version}.{kind}"
