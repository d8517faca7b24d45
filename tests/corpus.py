"""Checkpoints in every form that training leaves, and files that would run code if they were unpickled."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.package import PackageExporter

State = dict[str, torch.Tensor]


def network() -> nn.Module:
    """One layer of each sort that has tensors of its own kind; in eval mode."""
    torch.manual_seed(1)
    layers = (nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    return nn.Sequential(*layers).eval()


def state() -> State:
    return dict(network().state_dict())


def training() -> dict[str, Any]:
    """What a training loop saves: weights among counters, an optimizer and labels."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    return {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best_acc": 0.9,
        "class_to_idx": {"cat": 0, "dog": 1, "owl": 2},
    }


def save(value: object, path: Path, zipped: bool = True, protocol: int = 2) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


def save_torchscript(path: Path, scripted: bool = False) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and still what people have
        made = (
            torch.jit.script(network()) if scripted else torch.jit.trace(network(), torch.zeros(1, 1, 3, 3))
        )
        made.save(str(path))
    return path


def save_exported(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network(), (torch.zeros(1, 1, 3, 3),)), path)
    return path


def save_package(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PackageExporter(str(path)) as package:
            package.extern("torch.**")
            package.save_pickle("model", "model.pkl", network())
    return path


def save_safetensors(path: Path) -> Path:
    safetensors.torch.save_file(state(), path, metadata={"format": "pt"})
    return path


def save_folder(path: Path) -> Path:
    """As transformers writes it."""
    path.mkdir()
    (path / "config.json").write_text("{}")
    save(state(), path / "pytorch_model.bin")
    return path


def save_sharded(path: Path) -> Path:
    """Two shards and their index; the path of the folder."""
    path.mkdir()
    every = state()
    names = list(every)
    where = {}
    for number, part in enumerate((names[:4], names[4:]), start=1):
        shard = f"model-0000{number}-of-00002.safetensors"
        safetensors.torch.save_file({name: every[name] for name in part}, path / shard)
        where.update(dict.fromkeys(part, shard))
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


FORMS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "state dict": ("torch zip", lambda path: save(state(), path)),
    "state dict before 1.6": ("torch legacy", lambda path: save(state(), path, zipped=False)),
    "training": ("torch zip", lambda path: save(training(), path)),
    "training before 1.6": ("torch legacy", lambda path: save(training(), path, zipped=False)),
    "parallel": ("torch zip", lambda path: save(nn.DataParallel(network()).state_dict(), path)),
    "whole model": ("torch zip", lambda path: save(network(), path)),
    "whole model before 1.6": ("torch legacy", lambda path: save(network(), path, zipped=False)),
    "safetensors": ("safetensors", save_safetensors),
    "traced": ("TorchScript", save_torchscript),
    "scripted": ("TorchScript", lambda path: save_torchscript(path, scripted=True)),
    "exported": ("exported program", save_exported),
    "package": ("torch.package", save_package),
    "folder": ("torch zip", save_folder),
    "sharded": ("sharded", save_sharded),
}
"""form -> (its format, what writes it at a path and returns that)"""


# What would run code


class Reduces:
    """Pickles as a call of `call` with `args`."""

    def __init__(self, call: Callable[..., object], *args: object) -> None:
        self.call = (call, args)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


class Runs:
    """Pickles as what its `__setstate__` does when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __setstate__(self, attributes: dict[str, str]) -> None:
        Path(attributes["path"]).touch()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def short(value: str) -> bytes:
    return b"\x8c" + struct.pack("<B", len(value)) + value.encode()


def call(module: str, name: str, *args: str) -> bytes:
    return f"c{module}\n{name}\n(".encode() + b"".join(map(text, args)) + b"tR"


def touching(path: str) -> str:
    return f"open({path!r}, 'w').close()"


Payload = Callable[[str], bytes]

PAYLOADS: dict[str, tuple[Payload, str]] = {
    "os.system": (lambda path: b"\x80\x02" + call("os", "system", f"touch {path}") + b".", "os.system"),
    "posix.system": (lambda path: pickle.dumps(Reduces(os.system, f"touch {path}"), 2), "posix.system"),
    "protocol 0": (lambda path: pickle.dumps(Reduces(os.system, f"touch {path}"), 0), "posix.system"),
    "protocol 5": (lambda path: pickle.dumps(Reduces(os.system, f"touch {path}"), 5), "posix.system"),
    "subprocess": (
        lambda path: pickle.dumps(Reduces(subprocess.check_call, ["touch", path]), 4),
        "subprocess.check_call",
    ),
    "eval": (lambda path: b"\x80\x02" + call("builtins", "eval", touching(path)) + b".", "builtins.eval"),
    "exec": (lambda path: b"\x80\x02" + call("builtins", "exec", touching(path)) + b".", "builtins.exec"),
    "eval of Python 2": (
        lambda path: b"\x80\x02" + call("__builtin__", "eval", touching(path)) + b".",
        "__builtin__.eval",
    ),
    "runpy": (
        lambda path: b"\x80\x02" + call("runpy", "run_path", path) + b".",
        "runpy.run_path",
    ),
    "setstate": (lambda path: pickle.dumps(Runs(path), 2), f"{__name__}.Runs"),
    "inst": (lambda path: b"\x80\x02(" + text(path) + b"ios\nmkdir\n.", "os.mkdir"),
    "obj": (lambda path: b"\x80\x02(cos\nmkdir\n" + text(path) + b"o.", "os.mkdir"),
    "newobj": (
        lambda path: (
            b"\x80\x02cbuiltins\ntuple\ncbuiltins\nmap\ncos\nmkdir\n]" + text(path) + b"a\x86\x81\x85\x81."
        ),
        "os.mkdir",
    ),
    "stack global": (
        lambda path: b"\x80\x04" + short("os") + short("mkdir") + b"\x93" + text(path) + b"\x85R.",
        "os.mkdir",
    ),
    "stack global out of the memo": (
        lambda path: (
            b"\x80\x04" + short("os") + b"\x940" + short("mkdir") + b"\x940" + short("decoy") + b"0"
            b"h\x00h\x01\x93" + text(path) + b"\x85R."
        ),
        "os.mkdir",
    ),
    "stack global over a popped decoy": (
        lambda path: (
            b"\x80\x04" + short("os") + short("mkdir") + b"(" + short("math") + short("sqrt") + b"1"
            b"\x93" + text(path) + b"\x85R."
        ),
        "os.mkdir",
    ),
    "stack global of duplicates": (
        lambda path: (
            b"\x80\x04" + short("decoy") + short("os") + b"2q\x072" + b"000h\x07" + short("mkdir") + b"\x93"
            + text(path) + b"\x85R."
        ),
        "os.mkdir",
    ),
    "getattr": (
        lambda path: (
            b"\x80\x02cbuiltins\ngetattr\n" + call("importlib", "import_module", "os") + text("mkdir")
            + b"\x86R" + text(path) + b"\x85R."
        ),
        "builtins.getattr",
    ),
    "hidden in a value": (
        lambda path: b"\x80\x02}" + text("a") + call("os", "mkdir", path) + b"s.",
        "os.mkdir",
    ),
    "behind the value": (
        lambda path: b"\x80\x02" + call("os", "mkdir", path) + b"0}.",
        "os.mkdir",
    ),
}  # fmt: skip
"""name -> (the pickle that creates what `path` names, a global that it needs for that)"""


def in_zip(payload: bytes, entry: str = "data.pkl") -> bytes:
    """The pickle of a file that torch.save wrote, exchanged."""
    saved = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, saved)
    return exchanged(saved.getvalue(), entry, payload)


def exchanged(archive: bytes, entry: str, payload: bytes) -> bytes:
    """A zip with one entry's content replaced."""
    poisoned = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as good, zipfile.ZipFile(poisoned, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, payload if name.endswith(f"/{entry}") else good.read(name))
    return poisoned.getvalue()


def before_1_6(payload: bytes) -> bytes:
    """The object of a file in the format from before 1.6, exchanged."""
    saved = io.BytesIO()
    torch.save(None, saved, _use_new_zipfile_serialization=False)
    nothing, no_keys = pickle.dumps(None, 2), pickle.dumps([], 2)
    return saved.getvalue().removesuffix(nothing + no_keys) + payload + no_keys
