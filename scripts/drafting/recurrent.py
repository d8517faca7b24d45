"""LSTM, GRU and RNN, and their cells: the gates are stacked in one weight, so its height tells which."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from scripts.drafting.parts import Layer, Value, call
from scripts.drafting.place import Place
from scripts.drafting.tree import Shape

GATES = {4: "LSTM", 3: "GRU", 1: "RNN"}
"""Gates whose weights are stacked (torch.nn.LSTM, GRU, RNN: "Variables")."""


def recurrent(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """weight_ih_l0 [gates * hidden, input], weight_hh_l0 [gates * hidden, hidden or projected], ..."""
    first, again = shapes.get("weight_ih_l0", ()), shapes.get("weight_hh_l0", ())
    if len(first) != 2 or len(again) != 2:
        return None
    projected = shapes.get("weight_hr_l0", ())
    hidden = projected[1] if len(projected) == 2 else again[1]
    kind = GATES.get(again[0] // hidden if hidden and again[0] % hidden == 0 else 0)
    if kind is None:
        return None
    named: dict[str, Value] = {}
    layers = len([name for name in shapes if re.fullmatch(r"weight_ih_l\d+", name)])
    if layers > 1:
        named["num_layers"] = layers
    if "bias_ih_l0" not in shapes:
        named["bias"] = False
    named["batch_first"] = True
    if "weight_ih_l0_reverse" in shapes:
        named["bidirectional"] = True
    if projected:
        named["proj_size"] = projected[0]
    return replace(call(kind, first[1], hidden, **named), confirm=_doubts(kind))


def cell(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """weight_ih [gates * hidden, input], weight_hh [gates * hidden, hidden]: one step, called in a loop."""
    first, again = shapes.get("weight_ih", ()), shapes.get("weight_hh", ())
    if len(first) != 2 or len(again) != 2 or again[0] % again[1]:
        return None
    kind = GATES.get(again[0] // again[1])
    if kind is None:
        return None
    bias: dict[str, Value] = {} if "bias_ih" in shapes else {"bias": False}
    return replace(
        call(f"{kind}Cell", first[1], again[1], **bias), confirm=("nonlinearity",) if kind == "RNN" else ()
    )


def _doubts(kind: str) -> tuple[str, ...]:
    return ("batch_first, nonlinearity",) if kind == "RNN" else ("batch_first",)
