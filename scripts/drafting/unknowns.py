"""What a drafted network leaves to its owner, a clause each, the weightiest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import torch

from scripts.drafting.joints import joint
from scripts.drafting.names import plain
from scripts.drafting.parts import Layer, Part, parts_of, told

CLAUSES = (
    ("Embedding,", "which tables are Embedding: a Linear without bias holds the same tensor"),
    ("Linear, not", "whether the first layer is Linear: an Embedding holds the same tensor"),
    ("Bilinear", "whether the layers called bilinear are: a Conv1d holds the same tensors"),
    ("ConvTranspose", "which convolutions are ConvTranspose: shapes alone don't tell all of them"),
    ("stride", "stride and padding of the convolutions: stride 1 is assumed, doubling for ConvTranspose"),
    ("num_heads", "the number of attention heads"),
    ("nhead", "nhead, norm_first and activation of the transformer layers"),
    ("batch_first", "batch_first: whether inputs are [batch, time, ...]"),
    ("nonlinearity", "the nonlinearity of the recurrent layers"),
    ("GroupNorm", "which normalisation has no statistics, and the groups of GroupNorm"),
    ("InstanceNorm", "whether the layers called instance norm are"),
    ("LayerNorm", "whether vectors of weights belong to LayerNorm or RMSNorm"),
)
"""(how a comment begins or what it has in it, the clause)"""

ENDING = "whether a softmax or sigmoid ends the network"


def clauses(root: Part, state: Mapping[str, torch.Tensor]) -> Iterator[str]:
    """Of a network drafted from nothing but its tensors."""
    drafted = told(root)
    layers = [one for one in parts_of(root) if isinstance(one, Layer)]
    comments = {comment for layer in layers for comment in layer.confirm}
    if not drafted:
        yield "forward: in which order the modules are called, and what stands between them"
    if drafted and len([layer for layer in layers if layer.role == "weighted"]) > 1:
        yield "the order of the modules, taken as saved, and activations: ReLU is assumed where one is likely"
    if drafted and len({layer.takes == layer.gives for layer in layers if layer.role == "weighted"}) > 1:
        yield "skip connections between layers of equal width: none is assumed"
    if drafted and any(layer.role == "weighted" and _on_maps(layer) for layer in layers):
        yield f"pooling between the convolutions, and the size of the input{_size_hint(layers)}"
    for mark, clause in CLAUSES:
        if any(mark in comment for comment in comments):
            yield clause
    if any("BatchNorm" in layer.kind or "LayerNorm" in layer.kind for layer in layers):
        yield "eps of the normalisations: PyTorch's own is assumed"
    yield ENDING
    yield from about_tensors(state)


def about_tensors(state: Mapping[str, torch.Tensor]) -> Iterator[str]:
    """What a module's code may have to say of tensors that are shared or not float32."""
    shared = tied(state)
    if shared:
        one, other = shared[0]
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        yield f"{plain(other)} is {plain(one)} in the file{more}: tied weights, drafted as separate ones"
    half = sorted({str(one.dtype).removeprefix("torch.") for one in state.values() if _is_short(one)})
    if half:
        yield f"the file keeps {', '.join(half)}: served as float32 unless handler.precision says otherwise"


def tied(state: Mapping[str, torch.Tensor]) -> list[tuple[str, str]]:
    """Pairs of names of one and the same tensor."""
    seen: dict[tuple[object, ...], str] = {}
    found = []
    for name, tensor in state.items():
        if tensor.dim() == 0 or tensor.numel() == 0 or 0 in tensor.stride():
            continue
        same = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.shape, tensor.stride())
        if same in seen:
            found.append((seen[same], name))
        seen.setdefault(same, name)
    return found


def _size_hint(layers: Sequence[Layer]) -> str:
    """Where maps are flattened, their size tells what halving pools began with."""
    real = [layer for layer in layers if layer.role != "fill"]
    joints = [joint(one.gives, other.takes) for one, other in pairwise(real)]
    side = next((found.side for found in joints if found is not None and found.how == "pool"), 1)
    if side == 1:
        return ""
    sizes = f"{2 * side}, {4 * side}..."
    return f": {side} positions a side are left where maps are flattened, as halving makes of {sizes}"


def _on_maps(layer: Layer) -> bool:
    return layer.takes is not None and layer.takes.space == "maps"


def _is_short(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.element_size() < 4
