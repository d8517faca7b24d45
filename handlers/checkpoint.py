"""A checkpoint file -> state dict, without ever executing what is pickled inside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import safetensors.torch
import torch

from handlers import noncheckpoint, pickled
from handlers.errors import BadCheckpoint, listed

StateDict: TypeAlias = dict[str, torch.Tensor]

SAVE_AGAIN = "in the training code, save torch.save(model.state_dict(), 'weights.pth') and use that file"

WEIGHT_KEYS = (
    "state_dict",
    "state_dict_ema",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "ema",
    "model_ema",
    "model_ema_state_dict",
    "ema_model",
    "ema_state_dict",
    "params_ema",
)
"""Where training loops put weights (torchvision references, Lightning, timm, BasicSR and the like)."""


DENSE = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")
"""torchvision.models.densenet._load_state_dict: names of modules couldn't have a dot any more."""


def read(path: Path, key: str | None = None) -> StateDict:
    """Every tensor of the checkpoint by name, on the CPU, memory-mapped where the format allows.

    `key` names the entry that holds the weights where there is more than one ("model_ema",
    "ema.module"). Raises BadCheckpoint, which for a pickled model names what it would import.
    """
    state = unwrap(_load(path), path, key)
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive, which carries its own architecture."""
    return "constants.pkl" in {Path(name).name for name in pickled.zip_names(path)}


def without_wrappers(state: StateDict) -> StateDict:
    """The same tensors under the names that they had before DataParallel, compile or averaging.

    DataParallel and AveragedModel put `module.` before every name (the latter adds `n_averaged`),
    torch.compile puts `_orig_mod.` before the names of what it compiled, at any depth. DenseNets from
    before PyTorch 0.4, torchvision's published files among them, get the names of today.
    """
    named = {name.replace("_orig_mod.", ""): value for name, value in state.items()}
    named = {DENSE.sub(r"\1", name): value for name, value in named.items()}
    if any(name.startswith("module.") for name in named):
        named.pop("n_averaged", None)
    while named and all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): value for name, value in named.items()}
    return named


def unwrap(loaded: object, path: Path, key: str | None = None) -> StateDict:
    """The state dict inside what training saved; raises BadCheckpoint when there isn't just one."""
    if key is not None:
        return _at_key(loaded, path, key)
    if is_state_dict(loaded):
        return dict(loaded)
    found = dict(_state_dicts(loaded))
    known = {name: state for name, state in found.items() if name.split(".")[0] in WEIGHT_KEYS}
    choices = _with_rivals(known or found, found)
    if len(choices) == 1:
        return dict(next(iter(choices.values())))
    if choices:
        raise BadCheckpoint(
            f"{path}: holds weights more than once, under {', '.join(choices)}",
            hint="set handler.weights_key to the one that you evaluated",
        )
    raise BadCheckpoint(f"{path}: holds no state dict, but {_summary(loaded)}", hint=SAVE_AGAIN)


def _with_rivals(chosen: dict[str, Mapping[str, Any]], found: dict[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Those chosen by their key, and any other that holds the same names: averaged weights, say."""
    names = {frozenset(without_wrappers(dict(state))) for state in chosen.values()}
    rivals = {key: one for key, one in found.items() if frozenset(without_wrappers(dict(one))) in names}
    return {**chosen, **rivals}


def _at_key(loaded: object, path: Path, key: str) -> StateDict:
    found: object = loaded
    for step in [key] if isinstance(loaded, Mapping) and key in loaded else key.split("."):
        if not isinstance(found, Mapping) or step not in found:
            names = ", ".join(dict(_state_dicts(loaded)))
            raise BadCheckpoint(
                f"{path}: has no entry {key!r}",
                hint=f"handler.weights_key may be one of: {names}" if names else "remove handler.weights_key",
            )
        found = found[step]
    if not is_state_dict(found):
        raise BadCheckpoint(f"{path}: {key!r} is no state dict, but {_summary(found)}", hint=SAVE_AGAIN)
    return dict(found)


def is_state_dict(value: object) -> TypeGuard[Mapping[str, Any]]:
    """A mapping of names to tensors (and what modules add as extra state), not of metrics alone.

    Training code also puts an epoch or the classes among them: half of the names are dotted then, as those
    in modules are.
    """
    if not isinstance(value, Mapping) or not value or not all(isinstance(name, str) for name in value):
        return False
    tensors = {name: item for name, item in value.items() if isinstance(item, torch.Tensor)}
    extra = [name for name in value if name.endswith("_extra_state")]
    dotted = [name for name in tensors if "." in name]
    only = len(tensors) + len(extra) >= len(value)
    mostly = len(dotted) > 1 and 2 * (len(dotted) + len(extra)) >= len(value)
    return (only or mostly) and any(item.dim() > 0 for item in tensors.values())


def _state_dicts(value: object, prefix: str = "", depth: int = 2) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dotted key, state dict) of those nested at most `depth` deep."""
    if not isinstance(value, Mapping) or depth == 0:
        return
    for name, item in value.items():
        if is_state_dict(item):
            yield f"{prefix}{name}", item
        else:
            yield from _state_dicts(item, f"{prefix}{name}.", depth - 1)


def _summary(value: object) -> str:
    if isinstance(value, Mapping):
        entries = [f"{name!r}: {type(item).__name__}" for name, item in list(value.items())[:8]]
        return f"a mapping of {len(value)} entries ({', '.join(entries)})"
    return f"a {type(value).__name__}"


def _load(path: Path) -> object:
    head = _head(path)
    if head[8:9] == b"{" and b"\x00" in head[:8]:  # a length of eight bytes, and JSON
        return _load_safetensors(path)
    if head.startswith(b"PK"):
        if not any(Path(name).name == "data.pkl" for name in pickled.zip_names(path)):
            raise noncheckpoint.refusal(path)
        if pickled.is_compressed(path):  # torch maps such bytes as if they were values
            raise BadCheckpoint(f"{path}: is a zip with compressed records", hint=noncheckpoint.ZIP_AGAIN)
        return _load_pickled(path, mapped=True)
    if head.startswith(b"\x80"):
        return _load_pickled(path, mapped=False)
    raise noncheckpoint.refusal(path)


def _head(path: Path) -> bytes:
    """The first bytes; none of what can't be read, which is told later."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(64)
    except OSError:
        pass
    return b""


def _load_safetensors(path: Path) -> object:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        raise BadCheckpoint(
            f"{path}: can't be read as safetensors ({error})", hint="copy the file again"
        ) from None


def _load_pickled(path: Path, *, mapped: bool) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a hostile or damaged file raises anything at all
        imports = pickled.unsafe_globals(path)
        if imports:
            raise BadCheckpoint(
                f"{path}: is no plain state dict: loading it would import and run "
                f"{listed(imports, 6)} (nothing of it was executed)",
                hint=SAVE_AGAIN,
            ) from None
        # torch's first lines advise weights_only=False; the reason stands behind this mark
        detail = str(error).rpartition("WeightsUnpickler error: ")[2].strip().splitlines()
        raise BadCheckpoint(
            f"{path}: can't be read ({type(error).__name__}: {detail[0] if detail else 'no detail'})",
            hint="copy the file again, or save it again with torch.save's own pickle_protocol",
        ) from None
