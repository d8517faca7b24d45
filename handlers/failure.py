"""Why a worker couldn't open its archive: left in a file by the worker, read by whoever registered it.

TorchServe itself says only "Failed to start workers".
"""

from __future__ import annotations

import traceback
from pathlib import Path

from handlers import word
from handlers.errors import Refusal

KIND = "txt"


def leave(name: str, version: str, error: Exception) -> None:
    """The message on the first lines, then the traceback. Without a supervisor, the log alone has it."""
    reason = str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
    text = f"{reason}\n\n{''.join(traceback.format_exception(error))}"
    word.leave(name, version, KIND, text.encode())


def clear(folder: Path, name: str, version: str) -> None:
    """Forget it: what is found afterwards was left since."""
    word.clear(folder, name, version, KIND)


def find(folder: Path, name: str, version: str) -> str | None:
    """What `leave` wrote last; None when no worker of this version has failed."""
    left = word.find(folder, name, version, KIND)
    return None if left is None else left.decode()
