"""What a checkpoint holds beside a network: a loss's weights, a metric's counts, or more of a larger one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from handlers.mismatch import Shape

TRAINING = re.compile(
    r"loss|criterion|metric|confusion|confmat|accuracy|auroc|precision|recall|f1_?score|lpips|teacher|(^|\.|_)ema($|\.|_)",
    re.IGNORECASE,
)
"""In the names of what training alone needs: Lightning keeps it in the same state dict."""


def beside(unexpected: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Names that belong to no module of the network, but to another at its top."""
    modules = {name.partition(".")[0] for name in wanted}
    return tuple(name for name in unexpected if name.partition(".")[0] not in modules)


def for_training_alone(name: str, shape: Shape) -> bool:
    """Whether an answer can hardly need it: by its name, or because it is no layer's matrix."""
    return TRAINING.search(name) is not None or len(shape) < 2
