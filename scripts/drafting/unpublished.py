"""A state dict that no published architecture fits -> a model.py whose modules load it strictly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch

from scripts.drafting.build import root_of
from scripts.drafting.classes import Class, classes_of
from scripts.drafting.code import Head, class_lines, module, network_lines
from scripts.drafting.draft import Draft
from scripts.drafting.parts import Layer, Part, Signal, parts_of, told
from scripts.drafting.tree import grow
from scripts.drafting.unknowns import clauses


def draft(state: Mapping[str, torch.Tensor], file: str = "the checkpoint") -> Draft:
    """Modules rebuilt from names, shapes and dtypes, in the order of the file; the values are not read.

    The class loads `state` strictly. Its forward is drafted where the modules make a plain chain, and
    raises NotImplementedError where they don't. Raises BadCheckpoint for names that no nn.Module has.
    """
    root = root_of(grow(state))
    return written(root, tuple(clauses(root, state)), file)


def written(
    root: Part,
    unknown: tuple[str, ...],
    file: str,
    what: str = "A network",
    before: Sequence[Class] = (),
    function: Iterable[str] = (),
) -> Draft:
    """The parts of a network as text; `what` it is; classes and a function of the same file before it."""
    runs = told(root)
    takes = root.takes if runs else None
    gives = root.gives if runs else None
    classes, bare = classes_of(root, before)
    body = [*function, *(line for found in classes for line in class_lines(found))]
    body += network_lines(bare, _about(takes, gives, file_name(file)))
    layers = [one for one in parts_of(root) if isinstance(one, Layer) and one.role != "fill"]
    return Draft(
        source=module(_head(what, file_name(file), runs=runs), body),
        name="Network",
        args={},
        forward="drafted" if runs else "missing",
        unknown=unknown,
        input_shape=(takes.width,) if takes is not None and takes.space == "features" else None,
        channels=_channels(layers),
        outputs=_outputs(layers),
    )


def file_name(file: str) -> str:
    """The file's name for a docstring, unless something in it could end one."""
    return file if re.fullmatch(r"[\w.,+=@ ()-]{1,60}", file) else "the checkpoint"


def _head(what: str, file: str, *, runs: bool) -> Head:
    code = "the code that trained the network"
    rest = [
        f"Its modules are told by the names and shapes in {file}, and load its weights as they are.",
        f"Compare what says `confirm` with {code}:",
    ]
    if runs:
        rest.append("names and shapes can't tell it. Then remove the comment.")
    else:
        rest += [
            "names and shapes can't tell it. They don't tell the order of calls either: write `forward`",
            "where it raises NotImplementedError.",
        ]
    return Head(f"{what} drafted by `scripts/pthserve init`.", tuple(rest))


def _about(takes: Signal | None, gives: Signal | None, file: str) -> str:
    """The docstring of Network: what goes in and comes out, where that is told."""
    if takes is None or gives is None:
        return f"The modules of {file}, in saved order."
    return f"{told_of(takes)} -> {told_of(gives)}."


def told_of(signal: Signal) -> str:
    """As a docstring has it: "float32 [N, 3, height, width]"."""
    sizes = {0: "", 1: ", length", 2: ", height, width", 3: ", depth, height, width"}[signal.dims]
    return f"float32 [N, {signal.width}{sizes}]"


def _channels(layers: list[Layer]) -> int | None:
    """Of pictures, where the network begins with a 2D convolution, a normalisation before it aside."""
    first = next((one for one in layers if one.role != "norm"), None)
    takes = first.takes if first is not None and first.role == "weighted" else None
    return takes.width if takes is not None and takes.space == "maps" and takes.dims == 2 else None


def _outputs(layers: list[Layer]) -> int | None:
    """How many values come out, where the last layer gives features."""
    *before, last = [None, *(one for one in layers if one.role != "activation")]
    beside = before[-1] if before else None
    if last is not None and beside is not None and beside.takes == last.takes != beside.gives:
        return None  # heads beside each other
    gives = last.gives if last is not None else None
    return gives.width if gives is not None and gives.space == "features" else None
