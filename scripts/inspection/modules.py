"""The state of a module that was pickled whole, or that TorchScript holds, read from its inert record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

import torch

from handlers.checkpoint import StateDict
from handlers.errors import BadCheckpoint
from handlers.inert import Foreign

MOST_MODULES = 100_000
"""A module may hold one twice, and that again one twice: a few bytes name more modules than there is time."""

DEEPEST = 100

Place = tuple[str, Foreign, int]
"""(dotted name with the dot behind it, module, depth)"""


def module_state(value: object) -> StateDict | None:
    """Parameters and persistent buffers by dotted name, in state_dict's order; None for what is no module.

    Of TorchScript every tensor attribute: it doesn't tell buffers from others. Raises BadCheckpoint.
    """
    if not is_module(value):
        return None
    return {f"{path}{name}": tensor for path, module, _ in _modules(value) for name, tensor in _own(module)}


def is_module(value: object) -> TypeGuard[Foreign]:
    """Whether an inert record is an nn.Module's: it has what nn.Module's __init__ makes."""
    return isinstance(value, Foreign) and (
        {"_parameters", "_modules"} <= _attributes(value).keys() or _is_script(value)
    )


def _modules(root: Any) -> Iterator[Place]:
    """The module and all in it, parents first, each under every name that it has."""
    waiting: list[Place] = [("", root, 0)]
    count = 0
    while waiting:
        path, module, depth = waiting.pop()
        count += 1
        if count > MOST_MODULES or depth > DEEPEST:
            raise BadCheckpoint(
                "the pickled module holds modules in modules without end",
                hint="in the training code, save torch.save(model.state_dict(), 'weights.pth')",
            )
        yield path, module, depth
        inner = [(f"{path}{name}.", child, depth + 1) for name, child in _children(module)]
        waiting.extend(reversed(inner))


def _children(module: Foreign) -> list[tuple[str, Foreign]]:
    attributes = _attributes(module)
    named = attributes if _is_script(module) else _dict(attributes.get("_modules"))
    return [(str(name), child) for name, child in named.items() if is_module(child)]


def _own(module: Foreign) -> list[tuple[str, torch.Tensor]]:
    attributes = _attributes(module)
    if _is_script(module):
        named = attributes
    else:
        passing = attributes.get("_non_persistent_buffers_set")
        left = passing if isinstance(passing, set | frozenset) else set()
        buffers = {name: one for name, one in _dict(attributes.get("_buffers")).items() if name not in left}
        named = {**_dict(attributes.get("_parameters")), **buffers}
    return [(str(name), item) for name, item in named.items() if isinstance(item, torch.Tensor)]


def _attributes(module: Foreign) -> dict[Any, Any]:
    """What fills an object; a GraphModule's is its constructor's first argument instead."""
    if isinstance(module.state, dict):
        return module.state
    return _dict(module.args[0]) if module.args else {}


def _is_script(module: Foreign) -> bool:
    return module.name.startswith("__torch__.") and isinstance(module.state, dict)


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
