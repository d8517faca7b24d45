"""NumPy's scalars and arrays as a pickle holds them: plain numbers and texts, made of the bytes alone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from handlers.inert import Foreign

PLAIN = re.compile(r"([biuf][1248]|[SU][1-9][0-9]{0,2})\Z")
"""Codes of dtypes that are numbers and texts: f8, U12."""

MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
"""Before NumPy 2, and since."""

MOST = 1_000_000
"""Values of an array; beyond that nobody reads it."""


def scalar(kind: Any, content: Any) -> Any:
    """What multiarray.scalar(dtype, bytes) would give, as Python's own; else NotImplemented."""
    found = _decoded(kind, content)
    return found[0] if found and len(found) == 1 else NotImplemented


def items(value: Foreign) -> list[Any] | None:
    """The values of an array of one dimension; None for anything else."""
    if value.name not in [f"{module}._reconstruct" for module in MODULES]:
        return None
    match value.state:
        case (int(), (int(length),), kind, bool(), bytes(content)):
            found = _decoded(kind, content)
        case (int(), (int(length),), _, bool(), list(content)):  # of objects: texts of any length
            found = content
        case _:
            return None
    return found if found is not None and len(found) == length <= MOST else None


def _decoded(kind: Any, content: Any) -> list[Any] | None:
    """Bytes by the dtype that the pickle would have made; None unless both are plain."""
    match kind:
        case Foreign(name="numpy.dtype", args=(str(code), *_), state=(int(), "<" | "|" | ">" as order, *_)):
            if not isinstance(content, bytes) or not PLAIN.match(code) or len(content) > 4 * MOST:
                return None
            try:
                if code.startswith("U"):  # NumPy raises SystemError for what is no letter
                    content.decode("utf-32-be" if order == ">" else "utf-32-le")
                return list(np.frombuffer(content, np.dtype(code).newbyteorder(order)).tolist())
            except ValueError:  # bytes that don't fill it, or no letters
                return None
    return None
