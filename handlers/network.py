"""Recipe + folder -> nn.Module on a device: rebuilt, strictly loaded, in eval mode."""

from __future__ import annotations

import difflib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from msgspec import UNSET
from torch import nn

from handlers import checkpoint, mismatch
from handlers.checkpoint import StateDict
from handlers.errors import BadCheckpoint, BadRecipe, Refusal
from handlers.folder_code import load_class, load_function
from handlers.meta import WithoutWeights
from handlers.recipe import Architecture, Model

logger = logging.getLogger(__name__)

Build: TypeAlias = Callable[[], nn.Module]


class NotOnMeta(Exception):
    """The network can't be built without memory; why, for the log."""


def open_network(
    recipe: Model, folder: Path, device: torch.device, state: StateDict | None = None
) -> nn.Module:
    """The network with its weights, in eval mode, on `device`; raises BadRecipe or BadCheckpoint.

    It is built on the meta device and takes the memory-mapped tensors as they are, so that the
    workers of a model share one copy of the weights in memory. `state` comes in the place of what the
    checkpoint holds, and in its own precision.
    """
    path = folder / recipe.weights
    if checkpoint.is_torchscript(path):
        network = _open_torchscript(recipe, path)
    else:
        network = _rebuild(recipe, folder, path, state)
    for parameter in network.parameters():
        parameter.requires_grad_(False)  # a ScriptModule has no requires_grad_ of its own
    return network.to(device).eval()


def _open_torchscript(recipe: Model, path: Path) -> nn.Module:
    if recipe.architecture is not UNSET:
        raise BadRecipe(
            f"{path}: is TorchScript, which brings its own architecture", hint="remove handler.architecture"
        )
    try:
        network: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        detail = str(error).strip().splitlines()[0]
        raise BadCheckpoint(
            f"{path}: can't be read as TorchScript ({detail})", hint="save it again"
        ) from None
    return network


def _rebuild(recipe: Model, folder: Path, path: Path, served: StateDict | None) -> nn.Module:
    if recipe.architecture is UNSET:
        raise BadRecipe(
            f"{path}: holds weights without an architecture",
            hint="name it in handler.architecture: {class: model.py:CLASS} or {torchvision: BUILDER}",
        )
    build = _builder(recipe.architecture, folder)
    state = _state(recipe, path) if served is None else served
    try:
        return _on_meta(build, state, recipe, path, as_served=served is not None)
    except NotOnMeta as reason:
        if served is None:
            logger.warning("%s: built in memory instead of sharing the file's pages: %s", recipe.name, reason)
        return _in_memory(build, state, recipe, path, as_served=served is not None)


def _builder(architecture: Architecture, folder: Path) -> Build:
    if architecture.class_ is not UNSET:
        found = load_class(folder, architecture.class_, "handler.architecture.class")
        if not issubclass(found, nn.Module):
            raise BadRecipe(
                f"handler.architecture.class is {architecture.class_!r}; {found.__name__} is no nn.Module",
                hint="name the network's class",
            )
        return lambda: found(**architecture.args)
    if architecture.factory is not UNSET:
        make = load_function(folder, architecture.factory, "handler.architecture.factory")
        return lambda: _made(make, architecture)
    return _torchvision_builder(str(architecture.torchvision), architecture)


def _made(make: Callable[..., object], architecture: Architecture) -> nn.Module:
    """What the recipe's factory returns; raises BadRecipe when that is no network."""
    made = make(**architecture.args)
    if not isinstance(made, nn.Module):
        raise BadRecipe(
            f"handler.architecture.factory is {architecture.factory!r}; it returned a {type(made).__name__}",
            hint="return the nn.Module",
        )
    return made


def _torchvision_builder(name: str, architecture: Architecture) -> Build:
    from torchvision import models

    known = models.list_models()
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known))
        near = f"did you mean {near}?" if near else "see torchvision.models.list_models()"
        raise BadRecipe(f"handler.architecture.torchvision is {name!r}; no such builder", hint=near)
    taken = {"weights", "weights_backbone"} & architecture.args.keys()
    if taken:
        raise BadRecipe(
            f"handler.architecture.args has {', '.join(sorted(taken))}",
            hint="remove it: weights come from handler.weights alone",
        )
    # detection and segmentation builders would otherwise download a backbone
    with_backbone = {*models.list_models(models.detection), *models.list_models(models.segmentation)}
    options: dict[str, Any] = {"weights_backbone": None} if name in with_backbone else {}
    if name in ("googlenet", "inception_v3"):  # they warn of slow initial values, which nobody needs
        options["init_weights"] = False
    return lambda: models.get_model(name, weights=None, **{**options, **architecture.args})


def _state(recipe: Model, path: Path) -> StateDict:
    key = None if recipe.weights_key is UNSET else recipe.weights_key
    state = checkpoint.read(path, key)
    prefix = recipe.strip_prefix
    if prefix is UNSET:
        return state
    if not any(name.startswith(prefix) for name in state):
        state = checkpoint.without_wrappers(state)
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _on_meta(build: Build, state: StateDict, recipe: Model, path: Path, *, as_served: bool) -> nn.Module:
    # under the device alone RegNet couldn't compute its widths; an owner's constructor might draw numbers
    # beside those of the layers, which no two workers would share
    published = recipe.architecture is not UNSET and recipe.architecture.torchvision is not UNSET
    try:
        with WithoutWeights() if published else torch.device("meta"):
            network = build()
    except Refusal:
        raise
    except Exception as error:  # a constructor that computes with real numbers can't live there
        raise NotOnMeta(f"its constructor raised {type(error).__name__}: {error}") from error
    state = _fitted(network, state, recipe, path)
    if not as_served:
        dtypes = {name: value.dtype for name, value in _tensors(network).items()}
        state = {name: value.to(dtypes[name]) for name, value in state.items()}
    network.load_state_dict(_of_this_version(state, network), strict=False, assign=True)
    left = _left_on_meta(network)
    if left:
        raise NotOnMeta(f"{', '.join(left[:3])} isn't in the checkpoint")
    return network


def _in_memory(build: Build, state: StateDict, recipe: Model, path: Path, *, as_served: bool) -> nn.Module:
    torch.manual_seed(0)  # what allow_missing leaves at random is the same in every worker
    try:
        network = build()
    except Refusal:
        raise
    except Exception as error:
        raise BadRecipe(
            f"building handler.architecture raised {type(error).__name__}: {error}",
            hint="check handler.architecture.args",
        ) from error
    state = _fitted(network, state, recipe, path)
    network.load_state_dict(_of_this_version(state, network), strict=False, assign=as_served)
    return network


def _fitted(network: nn.Module, state: StateDict, recipe: Model, path: Path) -> StateDict:
    """The tensors under the network's own names, every one of them accounted for."""
    wanted = {name: tuple(value.shape) for name, value in _tensors(network).items()}
    unwrapped = checkpoint.without_wrappers(state)
    if len(unwrapped.keys() & wanted.keys()) >= len(state.keys() & wanted.keys()):
        state = unwrapped  # unless the network's own names look like a wrapper's
    saved = {name: tuple(value.shape) for name, value in state.items()}
    found = mismatch.compare(saved, wanted, recipe.allow_missing, recipe.allow_unexpected)
    if found:
        args = {} if recipe.architecture is UNSET else recipe.architecture.args
        raise BadCheckpoint(
            f"{path} doesn't fit handler.architecture: {mismatch.describe(found)}",
            hint=mismatch.cause(found, saved, wanted, args),
        )
    absent = [name for name in wanted if name not in saved]
    for name in absent:
        if not name.endswith("num_batches_tracked"):
            logger.warning("%s: %s keeps its initial values, as allow_missing says", recipe.name, name)
    steps = {
        name: torch.zeros((), dtype=torch.long) for name in absent if name.endswith("num_batches_tracked")
    }
    return {name: value for name, value in state.items() if name in wanted} | steps


def _of_this_version(state: StateDict, network: nn.Module) -> StateDict:
    """The tensors, said to be of the modules' present versions, which their names and shapes are.

    MNASNet refuses a state dict that doesn't say; what training saved lost it with its wrappers.
    """
    told = OrderedDict(state)
    told._metadata = getattr(network.state_dict(), "_metadata", None)  # type: ignore[attr-defined]
    return told


def _tensors(network: nn.Module) -> StateDict:
    """Its state dict without what modules add as extra state."""
    return {name: value for name, value in network.state_dict().items() if isinstance(value, torch.Tensor)}


def _left_on_meta(network: nn.Module) -> list[str]:
    """Names of parameters, buffers and plain attributes that still have no values."""
    named = [*network.named_parameters(), *network.named_buffers()]
    left = [name for name, value in named if value.is_meta]
    for module_name, module in network.named_modules():
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules") and _holds_meta(value):
                left.append(f"{module_name}.{name}".lstrip("."))
    return left


def _holds_meta(value: object) -> bool:
    """Whether a plain attribute is a tensor on meta, or a collection that holds one."""
    if isinstance(value, torch.Tensor):
        return value.is_meta
    if isinstance(value, Mapping):
        return any(map(_holds_meta, value.values()))
    return isinstance(value, list | tuple | set) and any(map(_holds_meta, value))
