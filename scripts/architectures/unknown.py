"""What names and shapes can't tell of a match, a clause each: its owner has to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from handlers.errors import listed
from handlers.mismatch import Shape
from scripts.architectures.fingerprint import within
from scripts.architectures.match import Match
from scripts.inspection.printable import printable

STRIDES = ("resnet50", "resnet101", "resnet152", "resnext", "wide_resnet")
"""torchvision's builders of bottlenecks, which take replace_stride_with_dilation."""


def clauses(match: Match) -> tuple[str, ...]:
    """The weightiest first."""
    return (*_of_the_file(match), *_of_changes(match), *_of_the_family(match))


def located(match: Match) -> str:
    """A part and what is around it: "torchvision's resnet50 behind 'backbone.', with head beside it"."""
    beside = f"{listed(map(printable, match.around), 4)} beside it"
    return f"{match.library}'s {match.builder} behind {printable(match.prefix)!r}, with {beside}"


def _of_the_file(match: Match) -> Iterator[str]:
    if match.fit == "order":
        yield "whether it is this architecture at all: the shapes agree in order, the names don't"
    if match.fit == "near":
        yield "what the parts that differ do"
    if match.left_out:
        yield f"what {listed(map(printable, match.left_out), 3)} is for: it is left out"


def _of_changes(match: Match) -> Iterator[str]:
    for module in match.changed:
        if _lost(match, module):
            if match.fit == "part":
                continue  # the head stands beside it
            yield f"what stood in place of {module}, of which the checkpoint has no tensor"
        elif len(_matrices(_other(match), module)) > 1:
            yield f"what stands between the layers of {module} and after them: activation, softmax"
        elif _kernel_changed(match, module):
            yield f"the stride and padding of {module}, and whether the pooling after it was kept"
    if match.family != "classification":
        yield from _of_channels(match)


def _of_channels(match: Match) -> Iterator[str]:
    if match.channels not in (None, 3):
        yield f"what the {match.channels} input channels are, and their mean and std"


def _lost(match: Match, module: str) -> bool:
    """Whether the checkpoint has nothing where the builder has layers."""
    return not _matrices(_other(match), module) and bool(_matrices(match.difference.missing, module))


def _other(match: Match) -> dict[str, Shape]:
    """What the checkpoint has otherwise."""
    reshaped = {name: shape for name, (shape, _) in match.difference.reshaped.items()}
    other = {**match.difference.unexpected, **reshaped}
    aside = set(match.beside)
    return {name: shape for name, shape in other.items() if name not in aside}


def _matrices(shapes: Mapping[str, Shape], module: str) -> list[str]:
    """A module's layers, by the names of their weights."""
    return [name for name, shape in shapes.items() if within(name, module) and len(shape) > 1]


def _kernel_changed(match: Match, module: str) -> bool:
    pair = match.difference.reshaped.get(f"{module}.weight")
    return pair is not None and len(pair[0]) > 2 and pair[0][2:] != pair[1][2:]


def _of_the_family(match: Match) -> Iterator[str]:
    if match.family == "classification":
        yield from of_inputs_and_outputs(match)
        yield from _of_arguments(match)
    elif match.family == "detection":
        yield "the size that pictures are scaled to, their mean and std, anchors, and the thresholds of boxes"
    elif match.family == "segmentation":
        yield "the size that pictures are scaled to, and their mean and std"
    elif match.family == "video":
        yield "the frames of a clip and their rate, the size of pictures, their mean and std"
    else:
        yield "how many times the flow is refined, and the range of pixel values"


def of_inputs_and_outputs(match: Match) -> Iterator[str]:
    """What a recipe says under input and output, where a drafted one has its own clauses."""
    yield from _of_channels(match)
    size = match.args.get("image_size") or match.args.get("img_size")
    if size or (match.library == "torchvision" and match.builder.startswith("vit_")):
        yield "how pictures were resized and cropped, and their mean and std"
    else:
        yield "the size of pictures, how they were resized and cropped, and their mean and std"
    if match.args.get("num_classes") == 1:
        yield "whether the one output is the logit of a class (sigmoid) or a value"
    else:
        yield "whether one class is meant (softmax) or several at once (sigmoid)"


def _of_arguments(match: Match) -> Iterator[str]:
    """Arguments of the builder that change no shape."""
    if match.library == "torchvision" and match.builder in ("googlenet", "inception_v3"):
        yield "transform_input: builders with published weights rescale the channels, those without don't"
    if match.library == "torchvision" and match.builder.startswith(STRIDES):
        yield "replace_stride_with_dilation, if training set it"
    if match.library == "timm":
        yield "arguments without tensors: activation, pooling, stride and dilation"
