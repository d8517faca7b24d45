"""Train digits_mlp on scikit-learn's 8x8 digits, enlarged to 28x28, and write its golden samples.

The expected answers come from plain torch and PIL, so they prove the recipe instead of repeating it.
Everything is seeded: running this again gives the same weights on the same machine and torch build.

    python models/digits_mlp/train.py [--out DIR]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from model import SimpleMLP
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 28
EPOCHS = 30
BATCH = 64
PICTURES = ("seven", "two")  # samples sent as PNG
VECTOR = "five"  # the sample sent as a JSON list of pixels in 0..1


def enlarge(digit: NDArray[np.float64]) -> Image.Image:
    """One 8x8 digit with values 0..16 -> grey picture of 28x28, uint8 0..255."""
    grey = np.round(digit * 255 / 16).astype(np.uint8)
    return Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def pixels(picture: Image.Image) -> Tensor:
    """A grey 28x28 picture -> float32 [784] in 0..1."""
    return torch.from_numpy(np.array(picture, dtype=np.float32)).flatten() / 255


def normalise(unit: Tensor) -> Tensor:
    """Pixels in 0..1 -> network input in -1..1: mean 0.5, std 0.5; any shape."""
    return (unit - 0.5) / 0.5


def train(inputs: Tensor, targets: Tensor) -> SimpleMLP:
    """Inputs float32 [N, 784] and classes int64 [N] -> the trained network, in eval mode."""
    network = SimpleMLP()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(inputs)), BATCH):
            optimizer.zero_grad()
            loss_of(network(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    return network.eval()


@torch.inference_mode()
def accuracy(network: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Share of rows, 0..1, whose greatest logit is the target."""
    return float((network(inputs).argmax(dim=1) == targets).float().mean())


@torch.inference_mode()
def expect(network: nn.Module, unit: Tensor, path: Path) -> None:
    """Write the raw logits, float32 [10], of one item with pixels [784] in 0..1."""
    np.save(path, network(normalise(unit)[None])[0].numpy())


def write_samples(network: nn.Module, pictures: list[Image.Image], targets: Tensor, folder: Path) -> None:
    """Write the first held-out picture of each sampled digit with its expected logits."""
    folder.mkdir(parents=True, exist_ok=True)
    first = {word: pictures[targets.tolist().index(LABELS.index(word))] for word in (*PICTURES, VECTOR)}
    for word in PICTURES:
        first[word].save(folder / f"{word}.png")
        expect(network, pixels(Image.open(folder / f"{word}.png")), folder / f"{word}.npy")
    # Rounded first: the answer must belong to the numbers in the file.
    vector = [round(value, 4) for value in pixels(first[VECTOR]).tolist()]
    (folder / f"{VECTOR}.json").write_text(json.dumps({"input": vector}) + "\n")
    expect(network, torch.tensor(vector), folder / f"{VECTOR}.npy")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train digits_mlp and write its golden samples.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    out: Path = parser.parse_args().out

    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    digits = load_digits()
    pictures = [enlarge(digit) for digit in digits.images]
    seen, held_out = train_test_split(
        np.arange(len(pictures)), test_size=0.2, random_state=0, stratify=digits.target
    )
    inputs = normalise(torch.stack([pixels(picture) for picture in pictures]))
    targets = torch.from_numpy(digits.target)

    network = train(inputs[seen], targets[seen])
    share = accuracy(network, inputs[held_out], targets[held_out])

    out.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), out / "weights.pth")
    (out / "labels.txt").write_text("\n".join(LABELS) + "\n")
    write_samples(network, [pictures[row] for row in held_out], targets[held_out], out / "samples")
    print(f"digits_mlp: accuracy {share:.3f} on {len(held_out)} held-out digits")


if __name__ == "__main__":
    main()
