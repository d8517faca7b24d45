"""The same weights packed as TorchServe's own examples do, for its stock `image_classifier`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from msgspec import UNSET

from handlers.network import open_network
from handlers.recipe import Architecture, Model
from scripts.errors import CommandError
from scripts.processes.children import Children, bare_environment

VERSION = "1.0"
TOP = 5  # classes that the stock handler answers, or fails with fewer outputs

EAGER = """from torchvision.models import {builder}


class Network:
    def __new__(cls):
        return {builder}({args})
"""

FEWER = """from ts.torch_handler.image_classifier import ImageClassifier


class Fewer(ImageClassifier):
    topk = {count}
"""


def pack(model: Model, folder: Path, store: Path, scratch: Path, children: Children) -> Path:
    """NAME.mar in `store`, compressed as the archiver does; raises CommandError when it can't be packed.

    A published architecture is a model.py and a state dict, as in the examples; any other is traced.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    store.mkdir(parents=True, exist_ok=True)
    example = _example(model)
    network = open_network(model, folder, torch.device("cpu"))
    with torch.inference_mode():
        outputs = network(example).shape[-1]
    words = ["--model-name", model.name, "--version", VERSION, "--export-path", str(store), "--force"]
    if model.architecture is not UNSET and model.architecture.torchvision is not UNSET:
        torch.save(network.state_dict(), scratch / "weights.pth")
        (scratch / "model.py").write_text(_source(model.architecture), encoding="utf-8")
        words += [
            "--model-file",
            str(scratch / "model.py"),
            "--serialized-file",
            str(scratch / "weights.pth"),
        ]
    else:
        torch.jit.trace(network, example).save(str(scratch / "network.pt"))  # type: ignore[no-untyped-call]
        words += ["--serialized-file", str(scratch / "network.pt")]
    (scratch / "index_to_name.json").write_text(json.dumps({str(i): str(i) for i in range(outputs)}))
    words += ["--extra-files", str(scratch / "index_to_name.json"), "--handler", _handler(outputs, scratch)]
    command = [sys.executable, "-m", "model_archiver.model_packaging", *words]
    (scratch / "tmp").mkdir(exist_ok=True)  # the archiver removes TMPDIR/NAME first
    done = children.run(command, env=bare_environment(TMPDIR=str(scratch / "tmp")))
    packed = store / f"{model.name}.mar"
    if done.returncode or not packed.is_file():
        raise CommandError(f"torch-model-archiver failed:\n{done.stdout}{done.stderr}")
    return packed


def _example(model: Model) -> torch.Tensor:
    """One picture as the stock handler prepares it: RGB, 224 px."""
    declared = model.image_input()
    if declared is None or declared.mode != "RGB" or declared.flatten:
        raise CommandError(
            f"{model.name} doesn't take RGB pictures, as TorchServe's stock image_classifier gives them",
            hint="leave that one out",
        )
    return torch.zeros(1, 3, 224, 224)


def _source(architecture: Architecture) -> str:
    args = ", ".join(f"{key}={value!r}" for key, value in architecture.args.items())
    return EAGER.format(builder=architecture.torchvision, args=args)


def _handler(outputs: int, scratch: Path) -> str:
    """The stock handler's name; where there are fewer classes than it tells, a file that says so."""
    if outputs >= TOP:
        return "image_classifier"
    path = scratch / "fewer_classes.py"
    path.write_text(FEWER.format(count=outputs), encoding="utf-8")
    return str(path)
