"""What executes a worker's network: left in a file by the worker, read by the supervisor that shows it.

TorchServe's management API has no place for it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = "PTHSERVE_FAILURES"
"""The same folder of the environment as handlers/failure.py has, other files in it."""


class Execution(Struct, frozen=True, omit_defaults=True):
    """Of a version's workers, which all open the same files on the same kind of device."""

    runtime: str
    """With its options and precision: "openvino", "eager channels_last bfloat16"."""
    instead: str = ""
    """What was decided in its place, and doesn't hold here; "" where nothing else was."""
    cause: str = ""
    """Why: one of handlers.runtimes.Cause."""

    def __str__(self) -> str:
        return f"{self.runtime} (not {self.instead}: {self.cause})" if self.cause else self.runtime


def leave(name: str, version: str, execution: Execution) -> None:
    """Without a supervisor, nowhere; raises OSError."""
    folder = os.environ.get(FOLDER)
    if folder:
        path = _path(Path(folder), name, version)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(msgspec.json.encode(execution))
        unfinished.replace(path)


def clear(folder: Path, name: str, version: str) -> None:
    """Forget it: what is found afterwards was left since."""
    _path(folder, name, version).unlink(missing_ok=True)


def find(folder: Path, name: str, version: str) -> Execution | None:
    """What a worker left last; None where none did, as those of older archives don't, or it can't be read."""
    try:
        return msgspec.json.decode(_path(folder, name, version).read_bytes(), type=Execution)
    except (OSError, msgspec.DecodeError):
        return None


def _path(folder: Path, name: str, version: str) -> Path:
    return folder / f"{name}-{version}.json"
