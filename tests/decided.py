"""Model folders with a decision beside the recipe, as `optimise` would leave them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import torch

from handlers import processor, recipe, seal
from handlers.network import open_network
from handlers.runtimes import decision, named
from handlers.runtimes.decision import Candidate, Decision
from handlers.runtimes.setting import Material, Setting

CPU = torch.device("cpu")
ONE_THREAD = Setting(CPU, 1)


@contextmanager
def same_threads() -> Iterator[None]:
    """What opens a model sets torch's threads for its process; here that is everyone's."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def decide(folder: Path, chosen: Candidate, item: tuple[int, ...]) -> Decision:
    """Build the artifacts for a model whose items have this shape, and write the decision."""
    _leave_open(folder)
    model = recipe.load(folder).handler
    artifacts = folder / decision.FOLDER / chosen.folder
    artifacts.mkdir(parents=True)
    material = Material(open_network(model, folder, CPU), torch.rand(4, *item))
    runtime = named(chosen.runtime)
    runtime.build(material, Setting(CPU, 1, chosen.precision, chosen.options), artifacts)
    decided = Decision(
        chosen=chosen,
        inputs=decision.inputs(model, folder),
        processor=processor.kind(CPU),
        libraries={name: metadata.version(name) for name in runtime.LIBRARIES},
        threads=1,
        batch=4,
        files={f"{chosen.folder}/{name}": digest for name, digest in seal.digests(artifacts).items()},
    )
    decision.write(decided, folder)
    return decided


def _leave_open(folder: Path) -> None:
    """So that the decision counts: a recipe that names eager asks for none."""
    path = folder / recipe.FILE_NAME
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "runtime: eager" not in line), encoding="utf-8")
