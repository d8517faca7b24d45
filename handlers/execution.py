"""What executes a worker's network: left in a file by the worker, read by the supervisor that shows it.

TorchServe's management API has no place for it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from handlers import word
from handlers.signature import TensorSpec

KIND = "json"


class Execution(Struct, frozen=True, omit_defaults=True):
    """Of a version's workers, which all open the same files on the same kind of device."""

    runtime: str
    """With its options and precision: "openvino", "eager channels_last bfloat16"."""
    instead: str = ""
    """What was decided in its place, and doesn't hold here; "" where nothing else was."""
    cause: str = ""
    """Why: one of handlers.runtimes.Cause."""
    outputs: tuple[TensorSpec, ...] = ()
    """What an answer is as tensors, seen on a sample; none where there is no sample."""
    batch_seconds: float = 0.0
    """What a full batch took from its preparation to its answers; 0 where that wasn't measured."""

    def __str__(self) -> str:
        return f"{self.runtime} (not {self.instead}: {self.cause})" if self.cause else self.runtime


def leave(name: str, version: str, execution: Execution) -> None:
    """Without a supervisor, nowhere; raises OSError."""
    word.leave(name, version, KIND, msgspec.json.encode(execution))


def clear(folder: Path, name: str, version: str) -> None:
    """Forget it: what is found afterwards was left since."""
    word.clear(folder, name, version, KIND)


def find(folder: Path, name: str, version: str) -> Execution | None:
    """What a worker left last; None where none did, as those of older archives don't, or it can't be read."""
    try:
        left = word.find(folder, name, version, KIND)
        return None if left is None else msgspec.json.decode(left, type=Execution)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
