"""The Python files of a model's own folder: what model.py or task.py may import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handlers.recipe.rules import RESERVED

NOT_SERVED = frozenset({"train.py"})
"""Python files of a model's folder that serving doesn't need."""


def own_modules(folder: Path) -> Iterator[Path]:
    """The same in models/NAME and in an unpacked archive."""
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "__pycache__")) for part in parts)
        if not hidden and parts[0] not in NOT_SERVED | RESERVED:
            yield path
