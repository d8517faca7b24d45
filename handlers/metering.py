"""What TorchServe is told of a batch for its Prometheus endpoint: lines on the worker's standard output.

There TorchServe reads those of its own `context.metrics`, which writes them one by one, at 25 µs each.
Here all lines of a batch are one write, 10 µs together. Names that monitoring/torchserve-metrics.yaml
doesn't declare are dropped without a word; its histograms' buckets are fixed, from 5 ms to 10 s.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from handlers.batch import Batch, Phase
from handlers.runtimes import Opened

logger = logging.getLogger(__name__)


class Metric(Struct, frozen=True):
    """One that the metrics file declares too; its labels follow `model` and `version`."""

    name: str
    kind: Literal["COUNTER", "GAUGE", "HISTOGRAM"]
    unit: str
    labels: tuple[str, ...] = ()


PHASES: dict[Phase, Metric] = {
    phase: Metric(f"pthserve_{phase}_seconds", "HISTOGRAM", "seconds") for phase in get_args(Phase)
}
REQUESTS = Metric("pthserve_batch_requests", "HISTOGRAM", "requests")
ITEMS = Metric("pthserve_items_total", "COUNTER", "items", ("code",))
SHORTAGES = Metric("pthserve_out_of_memory_total", "COUNTER", "passes")
MODEL = Metric(
    "pthserve_model_info", "GAUGE", "info", ("runtime", "precision", "fallback", "device", "assumed")
)

METRICS = (*PHASES.values(), REQUESTS, ITEMS, SHORTAGES, MODEL)

OTHER = "other"

CODES = frozenset(
    {
        "ok",
        "ambiguous_form",
        "bad_base64",
        "bad_image",
        "bad_input",
        "bad_items",
        "bad_json",
        "bad_npy",
        "bad_tensor",
        "empty_body",
        "forward_failed",
        "image_too_large",
        "internal",
        "not_finite",
        "out_of_memory",
        "out_of_range",
        "output_not_finite",
        "too_many_items",
        "unsupported_type",
        "wrong_field",
        "wrong_kind",
        "wrong_shape",
        "wrong_type",
    }
)
"""Values of the label `code`. One that a model's own task.py makes up is OTHER: each is a series for ever."""


Observed: TypeAlias = tuple[Metric, float, tuple[str, ...]]
"""A value, and those of the metric's own labels."""


class Meter:
    """The metrics of one worker. Its methods don't raise: serving goes on without metrics."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = f"model:{model},version:{version}"
        self._host = socket.gethostname()
        self._lines: dict[tuple[str, ...], tuple[str, str]] = {}
        self._failed = False

    def opened(self, opened: Opened, device: str, assumed: Sequence[str]) -> None:
        """That this version is there, what executes it, and what of its recipe nothing proves."""
        named = "+".join(assumed) or "nothing"  # a "," would end the label, as a ":" would its name
        runtime = "+".join((opened.candidate.runtime, *opened.candidate.options))
        fallback = opened.fallback.cause if opened.fallback is not None else "no"
        labels = (runtime, opened.precision, fallback, device.replace(":", ""), named)
        self._tell([(MODEL, 1, labels), (SHORTAGES, 0, ())])

    def batch(self, batch: Batch) -> None:
        self._tell(observed(batch))

    def _tell(self, observations: Iterable[Observed]) -> None:
        try:
            now = f",{int(time.time())}\n"
            parts: list[str] = []
            for metric, value, own in observations:
                head, tail = self._line(metric, own)
                parts += (head, str(value), tail, now)
            sys.stdout.write("".join(parts))
            sys.stdout.flush()
        except Exception:
            if not self._failed:
                logger.exception("metrics can't be told; serving goes on without them")
            self._failed = True

    def _line(self, metric: Metric, own: tuple[str, ...]) -> tuple[str, str]:
        """Around the value, as ts/metrics/caching_metric.py writes it and WorkerLifeCycle.java reads it."""
        key = (metric.name, *own)
        if key not in self._lines:
            labels = "".join(f",{name}:{label}" for name, label in zip(metric.labels, own, strict=True))
            self._lines[key] = (
                f"[METRICS]{metric.name}.{metric.unit}:",
                f"|#{self._labels}{labels}|#type:{metric.kind}|#hostname:{self._host}",
            )
        return self._lines[key]


def observed(batch: Batch) -> Iterator[Observed]:
    """Everything that there is to tell of one batch; who sees its requests counted sees the rest, too."""
    for phase, seconds in batch.seconds.items():
        yield PHASES[phase], seconds, ()
    for code, count in batch.items.items():
        yield ITEMS, count, (code if code in CODES else OTHER,)
    if batch.shortages:
        yield SHORTAGES, batch.shortages, ()
    yield REQUESTS, len(batch.responses), ()
