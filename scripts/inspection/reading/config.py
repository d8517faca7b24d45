"""config.json: what transformers writes beside the weights, the names of classes among it."""

from __future__ import annotations

from pathlib import Path

import msgspec

NAME = "config.json"

MOST = 1 << 22
"""Bytes: the names of 20,000 classes, twice, fit into one."""


def read_config(folder: Path) -> dict[str, object]:
    """Its entries; none where there is no such file, or none that can be read."""
    try:
        with (folder / NAME).open("rb") as file:
            return msgspec.json.decode(file.read(MOST), type=dict[str, object])
    except (OSError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}
