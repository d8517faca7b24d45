"""Nothing is trained here: mobilenet_v2 serves the ImageNet weights that torchvision publishes.

The weights file is not committed: `scripts/pthserve up` brings it, and checks it against the
sha256 in recipe.yaml. This script writes labels and golden samples again. The expected answers come from
torchvision's own builder and transforms, so they prove the recipe instead of repeating it.

    python models/mobilenet_v2/train.py [--out DIR]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.data import chelsea, coffee
from torch import nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

WEIGHTS = Path(__file__).parent / "mobilenet_v2-b0353104.pth"
PUBLISHED = MobileNet_V2_Weights.IMAGENET1K_V1
JPEG_QUALITY = 92
# uint8 [height, width, 3]
PHOTOS: dict[str, Callable[[], NDArray[np.uint8]]] = {"cat": chelsea, "espresso": coffee}


def load_network() -> nn.Module:
    """The network with the published weights, in eval mode: float32 [N, 3, 224, 224] -> logits [N, 1000]."""
    if not WEIGHTS.exists():
        raise SystemExit(f"mobilenet_v2: {WEIGHTS} is missing; `scripts/pthserve up` brings it")
    network: nn.Module = mobilenet_v2()
    network.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return network.eval()


@torch.inference_mode()
def logits_of(network: nn.Module, path: Path) -> NDArray[np.float32]:
    """Raw logits, float32 [1000], of one picture file, prepared by the transforms of the weights."""
    logits: NDArray[np.float32] = network(PUBLISHED.transforms()(Image.open(path))[None])[0].numpy()
    return logits


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the labels and golden samples of mobilenet_v2.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    out: Path = parser.parse_args().out

    torch.use_deterministic_algorithms(True)
    network = load_network()
    labels: list[str] = PUBLISHED.meta["categories"]
    samples = out / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    (out / "labels.txt").write_text("\n".join(labels) + "\n")
    for name, take in PHOTOS.items():
        picture = samples / f"{name}.jpg"
        Image.fromarray(take()).save(picture, quality=JPEG_QUALITY)
        logits = logits_of(network, picture)
        np.save(picture.with_suffix(".npy"), logits)
        print(f"mobilenet_v2: {picture.name} is answered {labels[logits.argmax()]}")


if __name__ == "__main__":
    main()
