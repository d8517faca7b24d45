"""MultiheadAttention and the transformer layers of torch.nn, by the names that only they give."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from scripts.drafting.parts import Argument, Layer, Value, call
from scripts.drafting.place import Place
from scripts.drafting.tree import Shape

HEAD = 64
"""Width of one head in most published transformers (https://arxiv.org/abs/1706.03762, table 3)."""

ENCODER = {"self_attn", "linear1", "linear2", "norm1", "norm2"}
DECODER = ENCODER | {"multihead_attn", "norm3"}


def attention(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """in_proj_weight [3 * width, width], or q/k/v_proj_weight where keys and values have other widths."""
    out = shapes.get("out_proj.weight", ())
    if len(out) != 2 or not shapes.keys() & {"in_proj_weight", "q_proj_weight"}:
        return None
    width = out[0]
    named: dict[str, Value] = {"num_heads": heads(width)}
    if "in_proj_bias" not in shapes:
        named["bias"] = False
    if "bias_k" in shapes:
        named["add_bias_kv"] = True
    for argument, name in (("kdim", "k_proj_weight"), ("vdim", "v_proj_weight")):
        if len(shapes.get(name, ())) == 2:
            named[argument] = shapes[name][1]
    named["batch_first"] = True
    return replace(call("MultiheadAttention", width, **named), confirm=("num_heads, batch_first",))


def transformer(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """One TransformerEncoderLayer or DecoderLayer, or a whole TransformerEncoder or Decoder of them."""
    names = {name.split(".")[0] for name in shapes}
    if names <= {"layers", "norm"} and "layers" in names:
        return _stack(shapes)
    kind = {frozenset(ENCODER): "Encoder", frozenset(DECODER): "Decoder"}.get(frozenset(names))
    inner = shapes.get("linear1.weight", ())
    if kind is None or len(inner) != 2:
        return None
    named: dict[str, Value] = {"nhead": heads(inner[1]), "dim_feedforward": inner[0], "batch_first": True}
    if "linear1.bias" not in shapes:
        named["bias"] = False
    made = call(f"Transformer{kind}Layer", inner[1], **named)
    return replace(made, confirm=("nhead, batch_first, norm_first, activation",))


def _stack(shapes: Mapping[str, Shape]) -> Layer | None:
    first = {
        name.removeprefix("layers.0."): shape
        for name, shape in shapes.items()
        if name.startswith("layers.0.")
    }
    layer = (
        transformer(first, Place("", None, None, 0))
        if first and "layers" not in {n.split(".")[0] for n in first}
        else None
    )
    if layer is None:
        return None
    numbers = {name.split(".")[1] for name in shapes if name.startswith("layers.")}
    arguments = [
        Argument("", replace(layer, confirm=()), positional=True),
        Argument("num_layers", len(numbers)),
    ]
    width = shapes.get("norm.weight")
    if width is not None:
        bias = {} if "norm.bias" in shapes else {"bias": False}
        arguments.append(Argument("norm", call("LayerNorm", *width, **bias)))
    kind = layer.kind.removesuffix("Layer")
    if kind == "TransformerEncoder":
        arguments.append(Argument("enable_nested_tensor", False))  # which warns unless batch_first is set
    return Layer(kind, tuple(arguments), confirm=layer.confirm)


def heads(width: int) -> int:
    """The likeliest number of heads for a width: of 64 each, or the most of 8, 4, 2 that divide it."""
    if width % HEAD == 0 and width > HEAD:
        return width // HEAD
    return next(number for number in (8, 4, 2, 1) if width % number == 0)
