"""Folders: the checkpoint in there, be it one file or an index of several."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from handlers.errors import BadCheckpoint, listed

WHOLE = ("model.safetensors", "pytorch_model.bin")
"""What transformers and diffusers call a single file of weights, the safer format first."""

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pt2")

INDEX = ".index.json"

FOREIGN = (
    (
        ".metadata",
        "a distributed checkpoint",
        "make one file of it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE",
    ),
    ("zero_to_fp32.py", "a DeepSpeed checkpoint", "run the zero_to_fp32.py in there"),
    ("saved_model.pb", "a TensorFlow SavedModel", "ask for the PyTorch weights"),
    ("data.pkl", "an unzipped checkpoint", "zip it again without compression: zip -0 -r weights.pth FOLDER"),
)
"""(file in the folder, what that makes it, what to do)"""


class Index(Struct, frozen=True):
    """*.index.json: the shard that has each tensor."""

    weight_map: dict[str, str]


def is_index(path: Path) -> bool:
    return path.name.endswith(INDEX)


def chosen(folder: Path) -> Path:
    """The file or the index that is a folder's checkpoint; raises BadCheckpoint."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for name, what, hint in FOREIGN:
        if (folder / name) in files:
            raise BadCheckpoint(f"{folder}: is {what}", hint=hint)
    known = [path for name in WHOLE for path in files if path.name == name]
    indices = [path for path in files if is_index(path)]
    single = [path for path in files if path.suffix in SUFFIXES]
    for choice in (known[:1], sorted(indices, key=lambda path: "safetensors" not in path.name)[:1], single):
        if len(choice) == 1:
            return choice[0]
    if single:
        names = listed((path.name for path in single), 6)
        raise BadCheckpoint(
            f"{folder}: holds several checkpoints: {names}", hint="give the file that you want"
        )
    raise BadCheckpoint(
        f"{folder}: holds no checkpoint", hint=f"it should have a {', '.join(SUFFIXES)} or {INDEX}"
    )


def read_index(path: Path) -> dict[str, Path]:
    """The shard of each tensor; raises BadCheckpoint, as for one that is missing or lies elsewhere."""
    try:
        names = msgspec.json.decode(path.read_bytes(), type=Index).weight_map
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OSError) as error:
        raise BadCheckpoint(
            f"{path}: is no index of shards ({str(error)[:80]})", hint="copy it again"
        ) from None
    for shard in _unique(names.values()):
        if Path(shard).name != shard or shard in ("", ".", ".."):
            raise BadCheckpoint(
                f"{path}: names a shard elsewhere ({shard[:80]!r})", hint="put it beside the index"
            )
        if not (path.parent / shard).is_file():
            raise BadCheckpoint(f"{path}: lacks the shard {shard[:80]!r}", hint="download that file, too")
    return {tensor: path.parent / shard for tensor, shard in names.items()}


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
