"""The steps over a staged archive, in the order in which they build on each other.

`scripts/packing/rehearse.py` runs them in a clean interpreter, where `handlers` is the archive's own copy. So
nothing in here imports anything of `scripts` but this package and what findings are made of.
"""

from __future__ import annotations

from scripts.checking.steps import mistakes, opening, running, runtime, sameness, sampling, scale
from scripts.checking.steps.step import Step

REQUIRED = (
    Step("task", (), opening.task),
    Step("weights", (), opening.weights),
    Step("architecture", ("weights",), opening.architecture),
    Step("input", ("task",), running.input_),
    Step("forward pass", ("architecture", "input"), running.forward),
    Step("finite output", ("forward pass",), running.finite),
    Step("same answer twice", ("forward pass",), sameness.twice),
    Step("same answer in a batch", ("same answer twice",), sameness.company),
    Step("answer", ("forward pass",), running.answer),
    Step("runtime", ("task", "architecture"), runtime.runtime),
    Step("samples", ("task", "architecture", "runtime"), sampling.samples),
)
"""What `archive` refuses to pack without."""

ADVISED = (
    Step("time", ("forward pass",), running.time, advice=True),
    Step("eval mode", ("architecture", "input"), running.eval_mode, advice=True),
    Step("dropout", ("forward pass",), mistakes.dropout, advice=True),
    Step("BatchNorm", ("forward pass",), mistakes.batch_norm, advice=True),
    Step("input scale", ("forward pass",), scale.scale, advice=True),
    Step("outputs", ("forward pass",), mistakes.outputs, advice=True),
    Step("labels", ("task",), mistakes.labels, advice=True),
)
"""What only warns: mistakes that serve without complaint."""
