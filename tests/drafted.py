"""A drafted model.py, written, imported and filled with the weights it was drafted from."""

import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from handlers.folder_code import load_function
from handlers.meta import WithoutWeights
from scripts.drafting.draft import Draft

ROOT = Path(__file__).resolve().parents[1]


def network(draft: Draft, folder: Path, **args: Any) -> nn.Module:
    """What the drafted file builds with its own arguments, on the device of the context."""
    (folder / "model.py").write_text(draft.source, encoding="utf-8")
    made = load_function(folder, f"model.py:{draft.name}", "handler.architecture")(**{**draft.args, **args})
    assert isinstance(made, nn.Module)
    return made


def filled(draft: Draft, state: Mapping[str, torch.Tensor], folder: Path) -> nn.Module:
    """The drafted network in eval mode, strictly loaded with the checkpoint's own values."""
    with WithoutWeights():
        made = network(draft, folder)
    named = OrderedDict(state)
    named._metadata = getattr(made.state_dict(), "_metadata", {})  # type: ignore[attr-defined]
    made.load_state_dict(named, strict=True, assign=True)
    return made.eval()


def assert_answers_rows_alone(made: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """The answers to several rows, after each row gave the same answer by itself."""
    with torch.inference_mode():
        together = made(rows)
        for number in range(len(rows)):
            torch.testing.assert_close(made(rows[number : number + 1])[0], together[number])
    assert isinstance(together, torch.Tensor)
    return together


def assert_reads_like_ours(folder: Path) -> None:
    """ruff, with the repository's own settings, would change nothing and has nothing to say."""
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["format", "--check", "--diff"], ["check", "--no-cache"]):
        done = subprocess.run(
            [ruff, *command, "--config", ROOT / "pyproject.toml", folder], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
