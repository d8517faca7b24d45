"""One export, from the model's folder to the folder that is handed on; runs where the model's code may.

open -> inputs -> target.write -> target.open_portable -> parity -> bundle -> example, run as its user will
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import msgspec
import torch

from handlers import seal
from handlers.recipe import Tolerance
from handlers.runtimes.setting import CantBuild
from scripts.exporting import bundle, example, preprocessing, readme, trial
from scripts.exporting.parity import CantExport, Parity, compare
from scripts.exporting.preprocessing import Port, Preprocessing
from scripts.exporting.subject import Subject, groups, material, opened
from scripts.exporting.targets import Target, TargetName
from scripts.exporting.targets.portable import Portable


def write(source: Path, folder: Path, name: TargetName, target: Target) -> Parity:
    """Fill the empty `folder`; what it returns is parity.json. Raises Refusal.

    With answers that differ the folder isn't whole, and nothing in it is to be used.
    """
    subject = opened(source)
    handler = subject.handler
    with torch.no_grad():
        _write_portable(subject, target, source, folder)
        portable = target.open_portable(folder)
        files = {path.name: seal.sha256(path) for path in sorted(folder.iterdir())}
        told = _describe(subject, target, portable)
        compared = compare(handler, groups(subject, one_by_one=target.ONE_BY_ONE), portable.run)
    bundled = _bundle(subject, folder)
    _put(folder / "preprocessing.json", msgspec.json.encode(told))
    (folder / "example.py").write_text(example.write(told, target, bundled), encoding="utf-8")
    shown = trial.run(subject, told, folder, bundled)
    report = Parity(
        handler.recipe.handler.name,
        handler.recipe.handler.version,
        name,
        all(one.passed for one in compared) and shown.passed,
        max(one.max_error for one in compared),
        Tolerance(),
        compared,
        shown,
        {package: metadata.version(package) for package in ("torch", *target.NEEDED)},
        files,
    )
    _put(folder / "parity.json", msgspec.json.encode(report))
    (folder / "README.txt").write_text(readme.write(report, target), encoding="utf-8")
    return report


def _write_portable(subject: Subject, target: Target, source: Path, folder: Path) -> None:
    try:
        target.write(material(subject, source), folder)
    except CantBuild as error:
        raise CantExport(str(error), hint="another target may take it: --to") from error


def _describe(subject: Subject, target: Target, portable: Portable) -> Preprocessing:
    handler, first = subject.handler, subject.given[0].prepared
    items: list[int | str] = [1 if target.ONE_BY_ONE else "items"]
    sizes: list[int | str] = list(first.shape)
    if subject.any_size and not target.ONE_BY_ONE:
        sizes = [sizes[0], "height", "width"]
    dtype = str(first.dtype).removeprefix("torch.")
    output = handler.forward(first[None])
    return Preprocessing(
        handler.recipe.handler.name,
        handler.recipe.handler.version,
        target.FILE_NAME,
        Port(portable.input_name, dtype, items + sizes, preprocessing.layout(handler, first.dim() + 1)),
        preprocessing.prepare(handler),
        Port(portable.output_name, "float32", items + list(output.shape[1:])),
        preprocessing.meaning(handler),
    )


def _bundle(subject: Subject, folder: Path) -> str:
    """Every sample, or a random input where there is none, with its raw output; the first one's path."""
    own = preprocessing.own_preparation(subject.handler.task)
    samples = max(1, len(subject.handler.recipe.handler.samples))
    paths: list[str] = []
    for one in subject.given[:samples]:
        paths.append(bundle.put(one, folder, paths, prepared=own))
        bundle.put_output(subject.handler.forward(one.prepared[None])[0], paths[-1], folder)
    return paths[0]


def _put(path: Path, encoded: bytes) -> None:
    path.write_bytes(msgspec.json.format(encoded) + b"\n")
