"""Asked: what the command line of `init` says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from scripts.errors import CommandError


class Asked(Struct, frozen=True):
    """Everything but `weights` may be left out, and is then read from the checkpoint or drafted."""

    weights: Path
    name: str = ""
    labels: Path | None = None
    samples: tuple[Path, ...] = ()
    expect: tuple[str, ...] = ()
    """A label or an .npy file for each sample, in their order; or none at all."""
    task: str = ""
    input: str = ""
    """handler.input as YAML: "{kind: image, resize: 28, crop: 28}"."""
    architecture: str = ""
    """A published builder: decides between ties."""
    key: str | None = None
    own_code: str = ""
    """MODULE:NAME or FILE.py:NAME of a class or function that gives the network."""
    args: dict[str, Any] = {}
    """Its arguments."""
    link: bool = False


def arguments(given: Iterable[str]) -> dict[str, Any]:
    """{"num_classes": 37} of "num_classes=37": values are YAML, as in a recipe. Raises CommandError."""
    told = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key.isidentifier() or not equals:
            raise CommandError(f"--arg is {text!r}", hint="write --arg KEY=VALUE, as in --arg num_classes=37")
        try:
            told[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CommandError(
                f"--arg {key} is {value!r}, which isn't YAML", hint="put it in quotes"
            ) from None
    return told
