"""Convolutions: the kernel stands in the weight; groups and direction follow from what comes before."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from scripts.drafting.parts import Layer, Signal, Value, call
from scripts.drafting.place import Place, is_patch
from scripts.drafting.tree import Shape

BACKWARDS = r"deconv|transp|^conv_?t\d*$|tconv|upconv|^up"
"""In names of ConvTranspose."""

STRIDES = "stride, padding"
DIRECTION = "ConvTranspose, not Conv"


def convolution(shapes: Mapping[str, Shape], place: Place) -> Layer | None:
    """weight [out, in/groups, kernel...] of Conv, or [in, out/groups, kernel...] of ConvTranspose."""
    if "weight" not in shapes or not shapes.keys() <= {"weight", "bias"}:
        return None
    weight, bias = shapes["weight"], shapes.get("bias")
    if not 3 <= len(weight) <= 5:
        return None
    if _is_transposed(weight, bias, place):
        return _transposed(weight, bias, place)
    return _forwards(weight, bias, place)


def _is_transposed(weight: Shape, bias: Shape | None, place: Place) -> bool:
    """The bias is as long as there are outputs, and so is a normalisation behind it; else the name tells.

    Without either, what comes before tells, unless the kernel is that of a skip connection or depthwise.
    """
    first, second = weight[:2]
    if first != second and bias is not None:
        return bias != (first,) and bias[0] % second == 0
    if first != second and place.after in (first, second):
        return place.after == second
    if first != second and second > 1 and max(weight[2:]) > 1 and _width(place, weight) == first:
        return True
    return place.named(BACKWARDS)


def _forwards(weight: Shape, bias: Shape | None, place: Place) -> Layer:
    out, narrow, *kernel = weight
    groups = _groups(weight, _width(place, weight))
    named = {"kernel_size": _same(kernel), **(_patches(kernel, place) or _padding(kernel))}
    if groups > 1:
        named["groups"] = groups
    if bias is None:
        named["bias"] = False
    return _layer("Conv", weight, (narrow * groups, out), named)


def _transposed(weight: Shape, bias: Shape | None, place: Place) -> Layer:
    into, narrow, *kernel = weight
    groups = bias[0] // narrow if bias is not None else 1
    named = {"kernel_size": _same(kernel), **_doubling(kernel)}
    if groups > 1:
        named["groups"] = groups
    if bias is None:
        named["bias"] = False
    made = _layer("ConvTranspose", weight, (into, narrow * groups), named)
    sure = into != narrow and (bias is not None or place.after == narrow)
    return made if sure else replace(made, confirm=(*made.confirm, DIRECTION))


def _layer(kind: str, weight: Shape, widths: tuple[int, int], named: dict[str, Value]) -> Layer:
    dims = len(weight) - 2
    return replace(
        call(f"{kind}{dims}d", *widths, **named),
        role="weighted",
        takes=Signal("maps", widths[0], dims),
        gives=Signal("maps", widths[1], dims),
        confirm=(STRIDES,),
    )


def _width(place: Place, weight: Shape) -> int | None:
    """Channels that arrive, where maps of as many dimensions do."""
    before = place.before
    fits = before is not None and before.space == "maps" and before.dims == len(weight) - 2
    return before.width if before is not None and fits else None


def _groups(weight: Shape, width: int | None) -> int:
    """One, unless fewer channels are taken than arrive: depthwise, or as many out as in with a real kernel.

    Anything else is likelier a branch or a skip connection, which the layer before in the file doesn't feed.
    """
    out, narrow, *kernel = weight
    if width is None or width == narrow or width % narrow:
        return 1
    groups = width // narrow
    return groups if out % groups == 0 and (narrow == 1 or (out == width and max(kernel) > 1)) else 1


def _patches(kernel: list[int], place: Place) -> dict[str, Value]:
    """The stride of what cuts a picture into patches."""
    return {"stride": _same(kernel)} if is_patch(place.path, kernel) else {}


def _padding(kernel: list[int]) -> dict[str, Value]:
    """What keeps height and width, for odd kernels; none for even ones."""
    padding = [size // 2 if size % 2 else 0 for size in kernel]
    return {"padding": _same(padding)} if any(padding) else {}


def _doubling(kernel: list[int]) -> dict[str, Value]:
    """What doubles height and width, as decoders mostly do: 2 -> stride 2, 3 and 4 -> padding 1."""
    if min(kernel) < 2:
        return {}
    named: dict[str, Value] = {"stride": 2}
    padding = [(size - 1) // 2 for size in kernel]
    if any(padding):
        named["padding"] = _same(padding)
    extra = [size % 2 for size in kernel]
    if any(extra):
        named["output_padding"] = _same(extra)
    return named


def _same(sizes: list[int]) -> Value:
    return sizes[0] if len(set(sizes)) == 1 else tuple(sizes)
