"""Folders that may keep what is made once for each environment: stubs, tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path


def folders(name: str) -> Iterator[Path]:
    """The virtual environment, then this user's cache; never a folder that others could have made."""
    yield Path(sys.prefix) / name
    if "XDG_CACHE_HOME" in os.environ or "HOME" in os.environ:
        cache = os.environ.get("XDG_CACHE_HOME") or os.environ["HOME"] + "/.cache"
        yield Path(cache) / name
