"""What sort of checkpoint a file is, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.errors import listed
from scripts.inspection.modules import is_module
from scripts.inspection.opened import Format, Opened
from scripts.inspection.printable import printable
from scripts.inspection.summaries import entries, summary
from scripts.inspection.weights import Extra, Weights, held_at

LIGHTNING = "pytorch-lightning_version"

FORMATS: dict[Format, str] = {
    "torch legacy": "in torch's format from before 1.6",
    "safetensors": "in safetensors",
    "sharded": "in several files",
}
"""Where the sentence says more than that torch.save wrote it."""

CARRIERS: dict[Format, str] = {
    "TorchScript": "a TorchScript model, which carries its own architecture",
    "exported program": "an exported program of torch.export",
    "torch.package": "a torch.package archive, which carries its own code",
}


def kind(opened: Opened, chosen: Weights, extras: Sequence[Extra]) -> str:
    """As in "a training checkpoint: weights under 'state_dict', saved from DataParallel, beside epoch"."""
    parts = [" ".join(filter(None, [_sort(opened, chosen), FORMATS.get(opened.format)]))]
    if chosen.key is not None:
        parts[0] += f": {_model(opened, chosen) or 'weights'} under {printable(chosen.key)!r}"
    if chosen.wrappers:
        parts.append(f"saved from {' of '.join(chosen.wrappers)}")
    beside = [extra.key for extra in extras if "." not in extra.key and extra.key != LIGHTNING]
    if beside:
        parts.append(f"beside {listed((printable(key, 40) for key in beside), 6)}")
    return ", ".join(parts)


def pickled_class(opened: Opened, chosen: Weights) -> str | None:
    """The class of the module that was pickled whole, if these weights are a module's."""
    held = held_at(opened.root, chosen.key)
    return held.name if is_module(held) and opened.format != "TorchScript" else None


def _sort(opened: Opened, chosen: Weights) -> str:
    if opened.format in CARRIERS:
        return CARRIERS[opened.format]
    if chosen.key is None:
        return _model(opened, chosen) or "a state dict"
    held = entries(opened.root)
    if LIGHTNING in held:
        return f"a checkpoint of Lightning {summary(held[LIGHTNING])}"
    return "a training checkpoint"


def _model(opened: Opened, chosen: Weights) -> str:
    name = pickled_class(opened, chosen)
    return f"a whole pickled model of class {printable(name)}" if name else ""
