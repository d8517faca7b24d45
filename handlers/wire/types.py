"""What travels between the wire and the tasks, whatever the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from handlers.errors import BadInput, Refusal

if TYPE_CHECKING:
    import torch  # seconds, and memory, that the supervisor needn't spend on the messages beside this file

PROTOCOL = "x-pthserve-protocol"
"""The header by which the gateway tells a worker how to read a row; without it, as predictions.py does."""


class Row(Struct, frozen=True):
    """One request as TorchServe hands it over: form fields (or `body`), headers in lower case."""

    fields: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""


class EncodedImage(Struct, frozen=True):
    """The bytes of one picture in its file format."""

    content: bytes


class Numbers(Struct, frozen=True):
    """One item's array, of the declared shape and dtype, not yet known to be finite."""

    values: npt.NDArray[np.float32] | npt.NDArray[np.int64]


Item: TypeAlias = EncodedImage | Numbers | BadInput
"""One thing to predict; a BadInput stands where an item of a longer request couldn't be read."""


class Request(Struct, frozen=True):
    """All items of one row; `many` says whether the caller sent a list."""

    items: tuple[Item, ...]
    many: bool = False
    request_id: str = ""
    protocol: str = ""
    """As the row had it."""
    asked: object = None
    """What its protocol needs to know when the answers are written."""


class Answered(Struct, frozen=True):
    """An item's answer, the same as JSON, and the raw output [..., float32 on the CPU] behind it."""

    answer: object
    encoded: bytes
    output: torch.Tensor


Outcome: TypeAlias = Answered | Refusal


class Response(Struct, frozen=True):
    """What goes back for one row; `errors` are the refusals with a traceback for the log."""

    status: int
    body: bytes
    content_type: str = "application/json"
    errors: tuple[Refusal, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
