"""A model's samples as requests in each protocol, and the answers that are known for them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Struct

from handlers.answers import Answer, Classification, Prediction, Regression, Values
from handlers.recipe import Model
from handlers.signature import IMAGE, NUMBERS
from scripts.describing.archived import JSON, NPY, Archived, SampleFile
from scripts.describing.card import TOP_K

INLINE = 2**14
"""Bytes of a sample that stands in the description itself."""

DIGITS = 4
"""Of the numbers in answers: more would differ by runtime and processor."""

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one pixel, for models whose samples are too large to stand in the description."""

Raw: TypeAlias = npt.NDArray[np.float64]


class Example(Struct, frozen=True):
    """One item, as it stands in JSON: base64 of a picture, or nested numbers."""

    name: str
    value: Any
    answer: Answer | None = None
    datatype: str = "FP32"
    """Of numbers."""

    @property
    def picture(self) -> bool:
        return isinstance(self.value, str)

    def predictions(self) -> Any:
        return {"image": {"b64": self.value}} if self.picture else {"input": self.value}

    def instances(self) -> Any:
        return {"instances": [{"image": {"b64": self.value}} if self.picture else self.value]}

    def inference(self) -> Any:
        if self.picture:
            return {"inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [1], "data": [self.value]}]}
        shape = [1, *np.shape(self.value)]
        tensor = {"name": NUMBERS, "datatype": self.datatype, "shape": shape, "data": [self.value]}
        return {"inputs": [tensor]}


def examples(archived: Archived) -> list[Example]:
    """Of samples that are small enough; at least one for a model that takes pictures."""
    found = list(_examples(archived))
    if not found and archived.model.image_input() is not None:
        found.append(Example("dot", DOT))
    return found


def _examples(archived: Archived) -> Iterator[Example]:
    tensor = archived.model.tensor_input()
    datatype = "INT64" if tensor is not None and tensor.dtype == "int64" else "FP32"
    for sample in archived.samples:
        if len(sample.content) <= INLINE:
            value = _value(sample)
            if value is not None:
                yield Example(sample.name, value, answer(sample, archived), datatype)


def _value(sample: SampleFile) -> Any:
    """None where it stands in the sample in another way than most."""
    if sample.content_type == NPY:
        return _array(sample.content).tolist()
    if sample.content_type != JSON:
        return base64.b64encode(sample.content).decode()
    told = msgspec.json.decode(sample.content)
    if isinstance(told, dict):
        told = next(iter(told.values()), None)
    return told if isinstance(told, list) and np.asarray(told, dtype=object).size else None


def answer(sample: SampleFile, archived: Archived) -> Answer | None:
    """What the owner's code (or this model, once) said to it, as the task tells it; None where only a part of
    it is known."""
    model, expect = archived.model, sample.declared.expect
    names = [] if model.output.names is UNSET else model.output.names
    if sample.raw is None:
        if isinstance(expect, list) and model.task == "regress":
            return Regression([_short(one) for one in expect], names)
        return None
    raw = _array(sample.raw).astype(np.float64)
    match model.task:
        case "classify":
            return _classified(raw.reshape(-1), archived)
        case "regress":
            return Regression([_short(one) for one in _final(raw.reshape(-1), model)], names)
        case "tensor" if raw.size <= INLINE // 16:
            return Values(np.vectorize(_short, otypes=[float])(raw).tolist(), list(raw.shape))
        case _:
            return None


def _classified(raw: Raw, archived: Archived) -> Classification:
    output, labels = archived.model.output, archived.labels
    if output.activation == "sigmoid":
        scores = 1 / (1 + np.exp(-raw))
    else:
        scores = np.exp(raw - raw.max())
        scores /= scores.sum()
    best = np.argsort(-scores, kind="stable")[: TOP_K if output.top_k is UNSET else output.top_k].tolist()
    named = [str(one) if labels is None else labels[one] for one in best]
    return Classification(
        [Prediction(label, one, _short(scores[one])) for label, one in zip(named, best, strict=True)]
    )


def _final(raw: Raw, model: Model) -> Raw:
    if model.output.mean is UNSET or model.output.std is UNSET:
        return raw
    return raw * np.asarray(model.output.std, np.float64) + np.asarray(model.output.mean, np.float64)


def _array(content: bytes) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return found


def _short(value: float) -> float:
    return float(f"{float(value):.{DIGITS}g}")
