"""The card of one version: what the page shows, and clients read at GET /endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, Struct

from handlers import signature
from handlers.execution import Execution
from handlers.recipe import Model, Precision
from handlers.signature import TensorSpec
from handlers.wire.oip_answers import ANSWER
from scripts.describing import decided
from scripts.describing.archived import Archived, Proof, SampleFile
from scripts.describing.decided import Parity
from scripts.describing.words import words

TOP_K = 5
"""Classes that are told where the recipe doesn't say (handlers/tasks/classify.py, which needs torch)."""


LOWER: tuple[Precision, ...] = ("bfloat16", "int8")
"""Precisions that a worker names behind what executes; float32 it doesn't."""


class Limits(Struct, frozen=True):
    """Beyond which a request is refused, or given up."""

    max_items: int
    max_bytes: int
    deadline_seconds: float


class Runtime(Struct, frozen=True):
    """What executes the network; `instead` and `cause`: what was decided, and why it doesn't hold here."""

    executes: str
    instead: str
    cause: str
    precision: Precision
    parity: Parity | None


class CheckpointFile(Struct, frozen=True):
    """The weights inside the archive."""

    file: str
    sha256: str


class Bundled(Struct, frozen=True):
    """A sample that callers can have."""

    name: str
    url: str
    content_type: str
    proof: Proof
    bytes: int


class Paths(Struct, frozen=True):
    """Where the default version is asked, by protocol."""

    predict: str
    kserve_v1: str | None
    """None where its archive is from before these protocols."""
    oip: str | None


class Card(Struct, frozen=True):
    """What there is to know of a version before calling it."""

    name: str
    version: str
    versions: tuple[str, ...]
    """All that callers can name."""
    task: str
    description: str
    inputs: tuple[TensorSpec, ...]
    """A request has one of them."""
    outputs: tuple[TensorSpec, ...]
    input: str
    labels: tuple[str, ...] | None
    limits: Limits
    runtime: Runtime
    checkpoint: CheckpointFile
    assumed: tuple[str, ...]
    """Parts of the recipe that were drafted, and that nothing proves."""
    self_recorded: tuple[str, ...]
    """Samples, also those that are too large to be had, whose answers nobody but this model gave."""
    samples: tuple[Bundled, ...]
    routes: Paths


class Cards(Struct, frozen=True):
    """Answer to GET /endpoints: of each model its default version."""

    endpoints: tuple[Card, ...]


def card(
    archived: Archived,
    execution: Execution | None,
    versions: Sequence[str],
    *,
    max_bytes: int,
    deadline: float,
) -> Card:
    """Of an archive and what its worker has told, if it has; `deadline` in seconds."""
    model, name = archived.model, archived.model.name
    return Card(
        name=name,
        version=model.version,
        versions=tuple(versions),
        task=model.task,
        description=model.description.strip(),
        inputs=signature.inputs(model),
        outputs=(execution.outputs if execution is not None else ()) or _outputs(model, archived.labels),
        input=words(model),
        labels=archived.labels,
        limits=Limits(model.max_items, max_bytes, deadline),
        runtime=_runtime(archived, execution),
        checkpoint=CheckpointFile(model.weights, archived.seal.files.get(model.weights, "")),
        assumed=tuple(model.assumptions),
        self_recorded=archived.self_recorded,
        samples=tuple(_bundled(archived, one) for one in archived.samples),
        routes=_paths(name, archived),
    )


def _paths(name: str, archived: Archived) -> Paths:
    if archived.predictions_only:
        return Paths(f"/predictions/{name}", None, None)
    return Paths(f"/predictions/{name}", f"/v1/models/{name}:predict", f"/v2/models/{name}/infer")


def sample_url(model: Model, sample: SampleFile) -> str:
    return f"/samples/{model.name}/{model.version}/{sample.index}"


def _bundled(archived: Archived, sample: SampleFile) -> Bundled:
    url = sample_url(archived.model, sample)
    return Bundled(sample.name, url, sample.content_type, sample.proof, len(sample.content))


def _runtime(archived: Archived, execution: Execution | None) -> Runtime:
    """Until a worker has told, what was decided."""
    table = archived.decided
    chosen = str(table.chosen if table is not None else decided.EAGER)
    told = execution or Execution(chosen)
    last = told.runtime.rpartition(" ")[2]
    precision: Precision = next((one for one in LOWER if one == last), "float32")
    parity = table.parity(told.runtime) if table is not None else None
    return Runtime(told.runtime, told.instead, told.cause, precision, parity)


def _outputs(model: Model, labels: tuple[str, ...] | None) -> tuple[TensorSpec, ...]:
    """What the recipe tells of them; a worker sees them on a sample."""
    match model.task:
        case "classify":
            asked = TOP_K if model.output.top_k is UNSET else model.output.top_k
            shape = (-1, asked if labels is None else min(asked, len(labels)))
            return (
                TensorSpec("label", "BYTES", shape),
                TensorSpec("index", "INT64", shape),
                TensorSpec("score", "FP32", shape),
            )
        case "regress":
            values = -1 if model.output.names is UNSET else len(model.output.names)
            return (TensorSpec("values", "FP32", (-1, values)),)
        case "tensor":
            return (TensorSpec("output", "FP32", (-1, -1)),)
        case _:
            return (TensorSpec(ANSWER, "BYTES", (-1,)),)
