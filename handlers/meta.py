"""Networks built without memory for their weights, also where constructors compute with real numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

MADE = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
"""What makes a tensor to be filled: by a layer's initial values, then by a checkpoint."""

FILLED = frozenset(
    {
        nn.init.uniform_,
        nn.init.normal_,
        nn.init.constant_,
        nn.init.kaiming_uniform_,
        torch.Tensor.uniform_,
        torch.Tensor.normal_,
        torch.Tensor.fill_,
        torch.Tensor.zero_,
        torch.Tensor.erfinv_,
        torch.Tensor.mul_,
        torch.Tensor.add_,
        torch.Tensor.clamp_,
    }
)
"""What gives initial values in place; for a tensor without memory there is nothing to do."""


class WithoutWeights(TorchFunctionMode):
    """Inside, tensors to be filled are made on the meta device; the global random state stays as it is.

    Unlike under `torch.device("meta")`, what is computed from numbers (torch.arange, torch.linspace,
    torch.tensor) is real: RegNet computes its widths so.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func in MADE and options.get("device") is None:
            options["device"] = "meta"
        elif func in FILLED and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **options)
