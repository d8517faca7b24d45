"""Why a worker couldn't open its archive: left in a file by the worker, read by whoever registered it.

TorchServe itself says only "Failed to start workers".
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from handlers.errors import Refusal

FOLDER = "PTHSERVE_FAILURES"
"""Environment variable of the workers: where to leave it. Without it, the log alone has the reason."""


def leave(name: str, version: str, error: Exception) -> None:
    """The message on the first lines, then the traceback."""
    folder = os.environ.get(FOLDER)
    if folder:
        reason = str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
        text = f"{reason}\n\n{''.join(traceback.format_exception(error))}"
        path = _path(Path(folder), name, version)
        unfinished = path.with_suffix(f".{os.getpid()}")  # whoever looks meanwhile finds nothing, not a half
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)


def clear(folder: Path, name: str, version: str) -> None:
    """Forget it: what is found afterwards was left since."""
    _path(folder, name, version).unlink(missing_ok=True)


def find(folder: Path, name: str, version: str) -> str | None:
    """What `leave` wrote last; None when no worker of this version has failed."""
    try:
        return _path(folder, name, version).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _path(folder: Path, name: str, version: str) -> Path:
    return folder / f"{name}-{version}.txt"
