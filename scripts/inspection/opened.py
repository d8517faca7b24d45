"""Opened: a checkpoint's content as plain values, tensors and inert records of everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

Format: TypeAlias = Literal[
    "torch zip",
    "torch legacy",  # before PyTorch 1.6
    "safetensors",
    "TorchScript",
    "exported program",
    "torch.package",
    "sharded",  # a directory whose index names several files
]


class Opened(Struct, frozen=True):
    """A checkpoint as far as it can be read safely.

    `root` is what torch.load would have given, of dict, list, tuple, text and numbers; its tensors
    are real, on the CPU, backed by the mapped file (nothing is read before it is looked at); whatever
    a pickle would have had to execute is an inert `handlers.inert.Foreign`.
    """

    path: Path
    """The file that holds it; of a directory, the one in there (the index, when it is sharded)."""
    format: Format
    root: object
    size: int
    """Bytes of the file; of all shards together."""
    imports: tuple[str, ...] = ()
    """Dotted names that its pickles refer to, in order, each once."""
    refused: tuple[str, ...] = ()
    """Those of them that torch.load(weights_only=True) refuses."""
    notes: tuple[str, ...] = ()
    """What is unusual and still readable: entries that had to be skipped, a protocol that torch refuses."""

    metadata: dict[str, str] = {}
    """What safetensors files say of themselves: {"format": "pt"}."""

    config: dict[str, object] = {}
    """The config.json beside the file, where a directory was opened."""

    @property
    def loadable(self) -> bool:
        """Whether a worker can load the file as it is (handlers.checkpoint)."""
        return self.format in ("torch zip", "torch legacy", "safetensors", "TorchScript") and not (
            self.refused or self.notes
        )
