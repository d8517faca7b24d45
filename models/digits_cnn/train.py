"""Train digits_cnn on scikit-learn's 8x8 digits, enlarged to 28x28, and write its golden samples.

The weights are left as a training checkpoint, with the optimizer beside them, as training loops do.
The expected answers come from plain torch and PIL, so they prove the recipe instead of repeating it.
Everything is seeded: running this again gives the same weights on the same machine and torch build.

    python models/digits_cnn/train.py [--out DIR]
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model import SimpleCNN
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 28
EPOCHS = 15
BATCH = 64
SAMPLED = ("seven", "three")  # expected answer: raw logits
SAMPLED_BY_LABEL = "four"  # expected answer: the word itself, written in the recipe


def enlarge(digit: NDArray[np.float64]) -> Image.Image:
    """One 8x8 digit with values 0..16 -> grey picture of 28x28, uint8 0..255."""
    grey = np.round(digit * 255 / 16).astype(np.uint8)
    return Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def network_input(picture: Image.Image) -> Tensor:
    """A 28x28 picture of any mode -> float32 [3, 28, 28] in -1..1: RGB, mean 0.5, std 0.5."""
    rgb = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32)).permute(2, 0, 1)
    return (rgb / 255 - 0.5) / 0.5


def train(inputs: Tensor, targets: Tensor) -> tuple[SimpleCNN, dict[str, Any]]:
    """Inputs float32 [N, 3, 28, 28] and classes int64 [N] -> the network in eval mode, and its checkpoint."""
    network = SimpleCNN(num_classes=len(LABELS))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(inputs)), BATCH):
            optimizer.zero_grad()
            loss_of(network(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    checkpoint = {
        "epoch": EPOCHS,
        "model_state_dict": network.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }
    return network.eval(), checkpoint


@torch.inference_mode()
def accuracy(network: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Share of rows, 0..1, whose greatest logit is the target."""
    return float((network(inputs).argmax(dim=1) == targets).float().mean())


@torch.inference_mode()
def logits_of(network: nn.Module, path: Path) -> NDArray[np.float32]:
    """Raw logits, float32 [10], of one picture file."""
    logits: NDArray[np.float32] = network(network_input(Image.open(path))[None])[0].numpy()
    return logits


def write_samples(network: nn.Module, pictures: list[Image.Image], targets: Tensor, folder: Path) -> None:
    """Write the first held-out picture of each sampled digit, and the logits where they are expected."""
    folder.mkdir(parents=True, exist_ok=True)
    for word in (*SAMPLED, SAMPLED_BY_LABEL):
        picture = folder / f"{word}.png"
        pictures[targets.tolist().index(LABELS.index(word))].save(picture)
        logits = logits_of(network, picture)
        if word in SAMPLED:
            np.save(picture.with_suffix(".npy"), logits)
        elif LABELS[logits.argmax()] != word:
            raise SystemExit(f"digits_cnn: {picture} is answered {LABELS[logits.argmax()]}, expected {word}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train digits_cnn and write its golden samples.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    out: Path = parser.parse_args().out

    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    digits = load_digits()
    pictures = [enlarge(digit) for digit in digits.images]
    seen, held_out = train_test_split(
        np.arange(len(pictures)), test_size=0.2, random_state=0, stratify=digits.target
    )
    inputs = torch.stack([network_input(picture) for picture in pictures])
    targets = torch.from_numpy(digits.target)

    network, checkpoint = train(inputs[seen], targets[seen])
    share = accuracy(network, inputs[held_out], targets[held_out])

    out.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, out / "weights.pth")
    (out / "labels.txt").write_text("\n".join(LABELS) + "\n")
    write_samples(network, [pictures[row] for row in held_out], targets[held_out], out / "samples")
    print(f"digits_cnn: accuracy {share:.3f} on {len(held_out)} held-out digits")


if __name__ == "__main__":
    main()
