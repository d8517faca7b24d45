"""What a worker would find too late, found before packing: run in a clean interpreter on the staged archive.

    python -I rehearse.py STAGED

It sees only the staged files and site-packages, as a worker does, so `handlers` here is the archive's own
copy. Prints one JSON object: {"samples": [...], "recorded": [...]}, or {"error": ..., "hint": ...} with
exit status 1.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from handlers.handler import Handler


def main(folder: Path) -> int:
    sys.path.insert(0, str(folder))
    try:
        report = rehearse(folder)
    except Exception as error:
        from handlers.errors import Refusal

        if isinstance(error, Refusal):
            report = {"error": error.message, "hint": error.hint}
        else:
            report = {
                "error": f"{type(error).__name__}: {error}",
                "hint": "",
                "traceback": traceback.format_exc(),
            }
    json.dump(report, sys.stdout)
    return 1 if "error" in report else 0


def rehearse(folder: Path) -> dict[str, Any]:
    """Strict load, one forward pass, eval mode and batch invariance, samples answered."""
    import entry  # type: ignore[import-not-found]  # the archive's own; TorchServe imports it just so
    import numpy as np
    import torch

    from handlers import golden
    from handlers.handler import Handler

    assert entry.Entry is not None
    torch.manual_seed(0)
    handler = Handler.open(folder)
    recorded = golden.record(handler, folder)
    for path, output in recorded.items():
        np.save(path, output)
    example = _example(handler, folder)
    if example is not None:
        check_invariance(handler, example)
    replayed = golden.replay(handler, folder)
    return {
        "samples": [
            {"name": sample.sample, "by": sample.expected_by, "error": sample.largest_error}
            for sample in replayed
        ],
        "recorded": [str(path.relative_to(folder)) for path in recorded],
    }


def _example(handler: Handler, folder: Path) -> torch.Tensor | None:
    """One prepared input [...]: the first sample's, or one of the declared shape."""
    import torch

    from handlers import golden

    model = handler.recipe.handler
    if model.samples:
        request = golden.request(handler.recipe, folder, model.samples[0])
        return handler.task.prepare(request.items[0])
    tensor = model.tensor_input()
    if tensor is not None and tensor.dtype == "float32":
        return torch.rand(tensor.shape)
    image = model.image_input()
    if image is not None and isinstance(image.crop, int):
        pixels = torch.rand(image.channels, image.crop, image.crop)
        return pixels.flatten() if image.flatten else pixels
    return torch.zeros(tensor.shape, dtype=torch.int64) if tensor is not None else None


def check_invariance(handler: Handler, example: torch.Tensor) -> None:
    """An item's output may depend neither on chance nor on its neighbours; raises BadCheckpoint."""
    import torch

    from handlers.errors import BadCheckpoint
    from handlers.recipe import Tolerance

    tolerance = Tolerance()

    def run(batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return handler.forward(batch)[0]

    def same(first: torch.Tensor, second: torch.Tensor) -> bool:
        return torch.allclose(first, second, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True)

    alone = run(example[None])
    if not torch.isfinite(alone).all():
        raise BadCheckpoint("the network's output is not finite", hint="check the weights and the samples")
    if not same(alone, run(example[None])):
        raise BadCheckpoint(
            "the same input gives another output each time",
            hint="dropout or sampling is active although the network is in eval mode: look for "
            "F.dropout without training=self.training, or random numbers in forward",
        )
    neighbours = [example.roll(shift, -1) * (1 if shift % 2 else -1) for shift in range(1, 8)]
    if not example.is_floating_point():
        neighbours = [example.roll(shift, -1) for shift in range(1, 8)]
    if not same(alone, run(torch.stack([example, *neighbours]))):
        raise BadCheckpoint(
            "an item's output depends on its neighbours in the batch",
            hint="look for BatchNorm in training mode, or for a mean over the batch dimension in forward",
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
