"""What Python callers have in their hands -> the body of a request.

a file's path, its bytes    the bytes, as they are
a picture of PIL            a PNG of its pixels
an array or tensor          .npy
numbers in lists            {"input": ...}
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from errno import ENAMETOOLONG, ENOENT
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

JSON, BYTES = "application/json", "application/octet-stream"

TAKEN = "give a file's path, its bytes, a picture of PIL, an array, a tensor, or lists of numbers"


class Body(Struct, frozen=True):
    content: bytes
    content_type: str = BYTES


def body(value: object) -> Body:
    """One input; raises TypeError or ValueError for what it can't be, and OSError for a file."""
    found = read(value)
    if isinstance(found, bytes):
        return Body(found, JSON if is_json(found) else BYTES)
    if isinstance(found, (list, tuple, Mapping)):
        whole = found if isinstance(found, Mapping) else {"input": found}
        return Body(encoded(whole), JSON)
    return Body(npy(found))


def read(value: object) -> Any:
    """A file's bytes, an array, or the lists and JSON objects as they were given."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return _file(value)
    if isinstance(value, PathLike):
        return Path(value).read_bytes()
    if isinstance(value, (list, tuple, Mapping)):
        return value
    if callable(getattr(value, "save", None)) and hasattr(value, "getbands"):
        return _png(value)
    if hasattr(value, "__array__"):
        return array(value)
    raise TypeError(f"the input is {_shown(value)}, of {type(value).__name__}; {TAKEN}")


def is_json(content: bytes) -> bool:
    """Whether it begins as an object or a list, behind the white space that JSON may have."""
    return content.lstrip(b" \t\r\n")[:1] in (b"{", b"[")


def encoded(value: object) -> bytes:
    """As JSON, in which numpy's numbers and arrays may stand; raises TypeError."""
    return msgspec.json.encode(value, enc_hook=_listed)


def array(value: object) -> npt.NDArray[np.generic]:
    """An array, or a tensor of any framework that can show itself as one; raises TypeError."""
    import numpy as np

    for method in ("detach", "cpu"):  # a tensor of torch that has a gradient, or is elsewhere
        if callable(step := getattr(value, method, None)):
            value = step()
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{type(value).__name__} can't be read as an array: {error}"[:300]) from None
    if found.dtype.kind not in "biuf":
        raise TypeError(f"the array holds {found.dtype}; give one of numbers"[:300])
    return found


def npy(values: npt.NDArray[np.generic]) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


def _file(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (ENOENT, ENAMETOOLONG):
            raise
        raise FileNotFoundError(
            f"the input is the text {_shown(name)}, and there is no such file; {TAKEN}"
        ) from None


def _png(picture: Any) -> bytes:
    """Its pixels as they stand in memory: an orientation that its file had beside them isn't applied."""
    stream = io.BytesIO()
    try:
        picture.save(stream, format="PNG")
    except (OSError, ValueError) as error:
        raise TypeError(f"the picture can't be written as PNG: {error}; convert it to RGB or L") from None
    return stream.getvalue()


def _listed(value: object) -> Any:
    if hasattr(value, "__array__"):
        return array(value).tolist()
    raise TypeError(f"the lists hold {_shown(value)}, of {type(value).__name__}; give numbers")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
