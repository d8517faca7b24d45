"""The outcomes of a request -> named tensors, whose first dimension is that of the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from handlers.answers import Answer, Array
from handlers.errors import BadInput
from handlers.signature import Datatype, TensorSpec
from handlers.wire import datatypes
from handlers.wire.types import Answered

RAW = "raw"
"""The network's own output, which is there for those who ask for it by name."""

ANSWER = "answer"
"""The only output of a task whose answers are none of ours: the item's JSON."""


class Output(Struct, frozen=True):
    """One tensor of a response."""

    name: str
    datatype: Datatype
    values: Array


def outputs(answered: Sequence[Answered], names: Sequence[str]) -> list[Output]:
    """Those of the names in their order, or all; raises BadInput for a name that none has."""
    tensors = [_tensors(one) for one in answered]
    known = list(tensors[0])
    found = []
    for name in names or known:
        if name in known:
            parts = [one[name] for one in tensors]
        elif name == RAW:
            parts = [one.output.numpy() for one in answered]
        else:
            raise BadInput(
                f"the model has no output {name[:100]!r}",
                code="wrong_field",
                hint=f"ask for {', '.join(map(repr, known))} or {RAW!r}",
            )
        values = _stacked(name, parts)
        found.append(Output(name, datatypes.of(values), values))
    return found


def specs(answered: Answered) -> tuple[TensorSpec, ...]:
    """What the tensors of an item's answer are, as those of any number of items."""
    return tuple(
        TensorSpec(name, datatypes.of(tensor), (-1, *tensor.shape))
        for name, tensor in _tensors(answered).items()
    )


def _tensors(answered: Answered) -> Mapping[str, Array]:
    if isinstance(answered.answer, Answer):
        return answered.answer.tensors()
    return {ANSWER: np.array(answered.encoded, dtype=object)}


def _stacked(name: str, parts: Sequence[Array]) -> Array:
    if any(part.shape != parts[0].shape for part in parts):
        raise BadInput(
            f"the items' {name!r} differ in shape: {list(parts[0].shape)} and others",
            code="wrong_shape",
            hint="send these items one at a time",
        )
    return np.stack(parts)
