"""What functions a forward pass calls that have another meaning in training, and where they are called.

A mode of torch sees every function of its own, a hook every module that is entered. Inside TorchScript and
compiled code neither sees anything.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from scripts.checking.steps.passes import Call, Normalised, Watched
from scripts.checking.steps.trial import NotTried, Trial

DROPOUTS: frozenset[object] = frozenset(
    {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}
)
BUILT_IN_DROPOUTS: frozenset[object] = frozenset(
    {torch.dropout, torch.dropout_, torch.feature_dropout, torch.alpha_dropout, torch.native_dropout}
)
SAMPLING: frozenset[object] = frozenset(
    {torch.rand, torch.randn, torch.randint, torch.randperm, torch.rand_like, torch.randn_like}
    | {torch.randint_like, torch.bernoulli, torch.multinomial, torch.normal, F.gumbel_softmax}
    | {getattr(torch.Tensor, f"{name}_") for name in ("bernoulli", "normal", "uniform", "random")}
    | {torch.Tensor.bernoulli, torch.Tensor.multinomial, torch.Tensor.exponential_}
)
OUTSIDE = (f"{Path(torch.__file__).parent}/", f"{Path(__file__).parent}/", "<")
"""Where frames lie that aren't a network's own code."""


def watched(trial: Trial, inputs: Sequence[torch.Tensor], made: Sequence[torch.Tensor] = ()) -> Watched:
    """One pass for each input; raises NotTried for TorchScript, and whatever the network raises.

    What is `made` may be no valid input: those that the network refuses are left out.
    """
    if isinstance(trial.network, torch.jit.ScriptModule):
        raise NotTried("nobody sees inside TorchScript")
    before = {name: value.clone() for name, value in trial.network.named_buffers()}
    seen = Watched([], [], [], [], [], [])
    for one in inputs:
        _pass(trial, one, seen)
    for one in made:
        with suppress(Exception):
            _pass(trial, one, seen)
    seen.changed = [
        name
        for name, value in trial.network.named_buffers()
        if name in before and not torch.equal(value, before[name])
    ]
    return seen


def _pass(trial: Trial, one: torch.Tensor, seen: Watched) -> None:
    watch = _Watch(trial, seen)
    with watch, watch.modules():
        output = trial.first(one)
    seen.inputs.append(one)
    seen.outputs.append(output)


class _Watch(TorchFunctionMode):
    """Sees one forward pass."""

    def __init__(self, trial: Trial, seen: Watched) -> None:
        super().__init__()
        self._names = {module: name for name, module in trial.network.named_modules()}
        self._folder = trial.folder
        self._seen = seen
        self._inside: list[nn.Module] = []
        self._normalised = False

    @contextmanager
    def modules(self) -> Iterator[None]:
        """Know meanwhile which module is being passed through."""
        enter = register_module_forward_pre_hook(lambda module, _: self._inside.append(module))
        leave = register_module_forward_hook(lambda *_: self._leave(), always_call=True)
        try:
            yield
        finally:
            enter.remove()
            leave.remove()

    def _leave(self) -> None:
        self._inside.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func is F.batch_norm or func is torch.batch_norm:
            self._batch_norm(func, args, given)
        elif told := _random(func, args, given):
            self._seen.random.append(self._call(told))
        return func(*args, **given)

    def _batch_norm(self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> None:
        bound = bound_to(_batch_norm if func is torch.batch_norm else F.batch_norm, args, given)
        if bound["training"]:
            self._seen.by_batch.append(self._call("BatchNorm"))
        elif not self._normalised and bound["running_var"] is not None:
            self._normalised = True
            values = bound["input"].double()
            by_channel = values.transpose(0, 1).flatten(1)  # [channels, places]
            power = by_channel.square().mean(1)
            mean, var = bound["running_mean"].double(), bound["running_var"].double()
            self._seen.norms.append(Normalised(self._module(), power, by_channel.shape[1], mean, var))

    def _call(self, what: str) -> Call:
        return Call(what, self._line(sys._getframe(2)), self._module())

    def _module(self) -> str:
        inside = self._inside[-1] if self._inside else None
        kind = type(inside).__name__
        return f"{self._names[inside]} ({kind})" if self._names.get(inside) else kind

    def _line(self, frame: FrameType | None) -> str:
        """FILE:LINE of the owner's code that calls, else of the library's; "" where torch itself does."""
        library = ""
        while frame is not None:
            path, number = frame.f_code.co_filename, frame.f_lineno
            inside = Path(path).is_relative_to(self._folder)
            if inside and Path(path).relative_to(self._folder).parts[0] != "handlers":
                return f"{Path(path).relative_to(self._folder)}:{number}"
            if inside:
                break
            if not library and not path.startswith(OUTSIDE):
                library = f"{'/'.join(Path(path).parts[-3:])}:{number}"
            frame = frame.f_back
        return library


def _batch_norm(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, *rest: Any
) -> None:
    """The parameters of torch.batch_norm, which has no signature of its own."""


def _dropout(input: Any, p: float, train: bool) -> None:
    """The parameters of torch.dropout and its kind, likewise."""


def bound_to(func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, with the defaults of those that weren't given."""
    bound = inspect.signature(func).bind(*args, **given)
    bound.apply_defaults()
    return bound.arguments


def _random(func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> str:
    """What is random about a call, in words; "" for all others."""
    if func in DROPOUTS:
        bound = bound_to(func, args, given)
        return f"F.{func.__name__}(p={bound['p']:g})" if bound["training"] and bound["p"] > 0 else ""
    if func in BUILT_IN_DROPOUTS:
        bound = bound_to(_dropout, args, given)
        p, train = bound["p"], bound["train"]
        return f"torch.{func.__name__}(p={p:g})" if train and p > 0 else ""
    if func is F.scaled_dot_product_attention:
        p = given.get("dropout_p", args[4] if len(args) > 4 else 0)
        return f"F.scaled_dot_product_attention(dropout_p={p:g})" if p > 0 else ""
    if func is F.multi_head_attention_forward:
        bound = bound_to(func, args, given)
        return "attention's dropout" if bound["training"] and bound["dropout_p"] > 0 else ""
    return f"{func.__name__}()" if func in SAMPLING else ""
