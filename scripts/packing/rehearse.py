"""What a worker would find too late, found before packing: run in a clean interpreter on the staged archive.

    python -I rehearse.py STAGED REPORT

It sees only the staged files and site-packages, as a worker does, so `handlers` here is the archive's own
copy. REPORT becomes one JSON object: {"recorded": [...]}, or {"error", "hint", "traceback"}.
"""

from __future__ import annotations

import io
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from handlers.handler import Handler
    from handlers.recipe import ImageInput, TensorInput


def main(folder: Path, report: Path) -> None:
    sys.path.insert(0, str(folder))
    report.write_text(json.dumps(outcome(folder)), encoding="utf-8")


def outcome(folder: Path) -> dict[str, Any]:
    """The report: which answers were recorded, or why the archive would fail."""
    try:
        return {"recorded": rehearse(folder)}
    except Exception as error:
        from handlers.errors import Refusal

        if isinstance(error, Refusal):
            cause = traceback.format_exc() if error.__cause__ is not None else ""
            return {"error": error.message, "hint": error.hint, "traceback": cause}
        return {"error": f"{type(error).__name__}: {error}", "hint": "", "traceback": traceback.format_exc()}


def rehearse(folder: Path) -> list[str]:
    """Strict load, a forward pass, the same answer every time and in every company, samples answered.

    Returns the names of answers that were recorded, for samples that had none; raises Refusal.
    """
    import entry  # type: ignore[import-not-found]  # the archive's own; TorchServe imports it just so
    import numpy as np
    import torch

    from handlers import golden
    from handlers.handler import Handler

    assert entry.Entry is not None
    torch.manual_seed(0)
    handler = Handler.open(folder)
    example = prepared_example(handler, folder)
    if example is not None:
        try_once(handler, example)
        check_invariance(handler, example)
    recorded = golden.record(handler, folder)
    for path, output in recorded.items():
        np.save(path, output)
    golden.replay(handler, folder)
    return [str(path.relative_to(folder)) for path in recorded]


def try_once(handler: Handler, example: torch.Tensor) -> None:
    """One forward pass and its answer; raises Refusal."""
    from handlers.errors import ForwardFailed, Refusal

    try:
        handler.task.finish(handler.forward(example[None])[0])
    except Refusal:
        raise
    except Exception as error:
        message = next(iter(str(error).splitlines()), "")
        raise ForwardFailed(
            f"the network fails on an input of {list(example.shape)}: {type(error).__name__}: {message}",
            hint="compare handler.input (mode, size, shape, flatten) with what the network takes",
        ) from error


def prepared_example(handler: Handler, folder: Path) -> torch.Tensor | None:
    """One input as the network gets it [...]: the first sample's, or one of the declared size.

    None where nothing says which size: pictures of any size, without a sample.
    """
    from handlers import golden
    from handlers.wire import EncodedImage, Numbers

    model = handler.recipe.handler
    if model.samples:
        request = golden.request(handler.recipe, folder, model.samples[0])
        return handler.task.prepare(request.items[0])
    tensor = model.tensor_input()
    if tensor is not None:
        return handler.task.prepare(Numbers(random_numbers(tensor)))
    image = model.image_input()
    if image is None or image.any_size:
        return None
    return handler.task.prepare(EncodedImage(grey_picture(image)))


def random_numbers(recipe: TensorInput) -> Any:
    """Values between minimum and maximum, else between 0 and 1; indices without a maximum are all 0."""
    import numpy as np

    low = recipe.minimum if isinstance(recipe.minimum, (int, float)) else 0
    given = recipe.maximum if isinstance(recipe.maximum, (int, float)) else None
    rng = np.random.default_rng(0)
    if recipe.dtype == "int64":
        high = low if given is None else given
        return rng.integers(int(low), int(high), recipe.shape, np.int64, endpoint=True)
    return rng.uniform(low, low + 1 if given is None else given, recipe.shape).astype(np.float32)


def grey_picture(recipe: ImageInput) -> bytes:
    """A PNG with a gradient, of the size that resizing or cropping makes anyway."""
    import numpy as np
    from PIL import Image

    size = recipe.crop if isinstance(recipe.crop, (int, list)) else recipe.resize
    height, width = size if isinstance(size, list) else (size, size)
    assert isinstance(height, int)
    assert isinstance(width, int)
    gradient = np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(gradient).save(stream, "PNG")
    return stream.getvalue()


def check_invariance(handler: Handler, example: torch.Tensor) -> None:
    """An item's output may depend neither on chance nor on its neighbours; raises BadCheckpoint.

    The network in eval mode gives the same for the same input, alone and in a full batch of others.
    """
    import torch

    from handlers.errors import BadCheckpoint
    from handlers.recipe import Tolerance

    tolerance = Tolerance()

    def first(batch: torch.Tensor) -> torch.Tensor:
        return handler.forward(batch)[0]

    def same(one: torch.Tensor, other: torch.Tensor) -> bool:
        return torch.allclose(one, other, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True)

    alone = first(example[None])
    if not torch.isfinite(alone).all():
        raise BadCheckpoint("the network's output is not finite", hint="check the weights and the samples")
    if not same(alone, first(example[None])):
        raise BadCheckpoint(
            "the same input gives another output each time",
            hint="dropout or sampling is active although the network is in eval mode: look for "
            "F.dropout without training=self.training, or random numbers in forward",
        )
    size = handler.recipe.batch_size
    if size > 1 and not same(alone, first(torch.stack([example, *neighbours(example, size - 1)]))):
        raise BadCheckpoint(
            f"an item's output depends on its neighbours in a batch of {size}",
            hint="look for BatchNorm in training mode, or for a mean over the batch dimension in forward",
        )


def neighbours(example: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Other inputs of the same values in another order, and for real numbers of another sign."""
    signs = (1, -1) if example.is_floating_point() else (1,)
    return [example.roll(shift + 1, -1) * signs[shift % len(signs)] for shift in range(count)]


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
