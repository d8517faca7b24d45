"""Names and shapes of torchvision's networks, built without memory, and the table they are held against."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any

from rich.console import Console
from torch import nn
from torchvision import models

from handlers.meta import WithoutWeights
from handlers.mismatch import Shape
from scripts.architectures import table
from scripts.architectures.fingerprint import Fingerprint
from scripts.architectures.identify import ranked
from scripts.architectures.match import Match

CLASSIFIERS: list[str] = models.list_models(models)

WITH_BACKBONE = {*models.list_models(models.detection), *models.list_models(models.segmentation)}


@cache
def known() -> list[Fingerprint]:
    """torchvision's, built once for all tests of this process and kept nowhere."""
    return table.load("torchvision", Console(file=io.StringIO()), [])


def identified(shapes: dict[str, Shape]) -> list[Match]:
    return ranked(shapes, known())


def built(builder: str, **args: Any) -> nn.Module:
    """A network without memory and without downloads."""
    options: dict[str, Any] = {"weights_backbone": None} if builder in WITH_BACKBONE else {}
    with WithoutWeights(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # googlenet and inception_v3 announce other initial weights
        network: nn.Module = models.get_model(builder, weights=None, **options, **args)
    return network


def shapes_of(network: nn.Module, prefix: str = "") -> dict[str, Shape]:
    """As a checkpoint of the network has them."""
    return {f"{prefix}{name}": tuple(value.shape) for name, value in network.state_dict().items()}
