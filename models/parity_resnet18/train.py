"""Train parity_resnet18 from scratch on scikit-learn's digits, and write its golden samples.

torchvision's resnet18 learns whether a digit, enlarged from 8x8 to 224x224, is even or odd. On two cores
an epoch at 224 costs a minute and a half, so most epochs see small pictures (progressive resizing) and a
last, short one fits weights and batch statistics to the served size. Nothing but labels.txt is committed:
run this once before serving; it takes 3 to 4 minutes on two free cores, and longer beside other work.
The expected answers come from plain torch and PIL, so they prove the recipe instead of repeating it.
Everything is seeded: running this again gives the same weights on the same machine and torch build.

    python models/parity_resnet18/train.py [--out DIR]
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torchvision.models import resnet18

LABELS = ("even", "odd")
SIDE = 224
BATCH = 32
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]  # of ImageNet, RGB
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
SAMPLES = 3  # the first held-out digits; the last stays 8x8, so the recipe must enlarge it


class Stage(NamedTuple):
    """Some epochs over random training pictures at one size; the learning rate falls from `rate` to 0."""

    side: int
    epochs: int
    pictures: int
    rate: float


STAGES = (Stage(56, 4, 1437, 1e-3), Stage(112, 2, 1437, 5e-4), Stage(SIDE, 1, 960, 3e-4))


def grey_picture(digit: NDArray[np.float64]) -> Image.Image:
    """One 8x8 digit with values 0..16 -> grey picture of 8x8, uint8 0..255."""
    return Image.fromarray(np.round(digit * 255 / 16).astype(np.uint8))


def enlarge(pictures: list[Image.Image], side: int) -> Tensor:
    """N pictures -> grey uint8 [N, side, side]: a third of the memory of RGB, a twelfth of float32."""
    size = (side, side)
    return torch.stack(
        [torch.from_numpy(np.array(p.resize(size, Image.Resampling.BILINEAR))) for p in pictures]
    )


def network_input(grey: Tensor) -> Tensor:
    """Grey uint8 [N, H, W] -> float32 [N, 3, H, W], normalised as ImageNet is.

    Channels last in memory, which convolutions on the CPU are faster with.
    """
    rgb = grey[:, None].expand(-1, 3, -1, -1).float() / 255
    return ((rgb - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def train_stage(network: nn.Module, stage: Stage, grey: Tensor, targets: Tensor) -> None:
    """Train on grey uint8 [N, side, side] and classes int64 [N], a line of progress for each epoch."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=stage.rate, weight_decay=1e-2)
    batches = -(-stage.pictures // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, stage.epochs * batches)
    loss_of = nn.CrossEntropyLoss()
    network.train()
    for epoch in range(1, stage.epochs + 1):
        start, total = time.monotonic(), 0.0
        for rows in torch.split(torch.randperm(len(grey))[: stage.pictures], BATCH):
            optimizer.zero_grad()
            loss = loss_of(network(network_input(grey[rows])), targets[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        progress = f"{stage.side} px, epoch {epoch}/{stage.epochs}: loss {total / stage.pictures:.3f}"
        print(f"{progress}, {time.monotonic() - start:.0f} s", flush=True)


def train(pictures: list[Image.Image], targets: Tensor) -> nn.Module:
    """8x8 pictures and their classes int64 [N] -> the trained network, in eval mode."""
    network: nn.Module = resnet18(num_classes=len(LABELS))
    print(f"parity_resnet18: {sum(p.numel() for p in network.parameters()):,} parameters", flush=True)
    for stage in STAGES:
        train_stage(network, stage, enlarge(pictures, stage.side), targets)
    return network.eval()


@torch.inference_mode()
def accuracy(network: nn.Module, grey: Tensor, targets: Tensor) -> float:
    """Share of grey uint8 [N, 224, 224], 0..1, whose greatest logit is the target."""
    answers = torch.cat([network(network_input(rows)).argmax(dim=1) for rows in torch.split(grey, BATCH)])
    return float((answers == targets).float().mean())


@torch.inference_mode()
def write_samples(network: nn.Module, pictures: list[Image.Image], folder: Path) -> None:
    """Write the first pictures, 8x8, with the raw logits of each, float32 [2]."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures[:SAMPLES], start=1):
        path = folder / f"digit{number}.png"
        sent = picture if number == SAMPLES else picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        sent.save(path)
        logits = network(network_input(enlarge([Image.open(path)], SIDE)))[0]
        np.save(path.with_suffix(".npy"), logits.numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train parity_resnet18 and write its golden samples.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    out: Path = parser.parse_args().out

    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    digits = load_digits()
    pictures = [grey_picture(digit) for digit in digits.images]
    targets = torch.from_numpy(digits.target % 2)
    seen, held_out = train_test_split(
        np.arange(len(pictures)), test_size=0.2, random_state=0, stratify=digits.target
    )

    network = train([pictures[row] for row in seen], targets[seen])
    unseen = [pictures[row] for row in held_out]
    share = accuracy(network, enlarge(unseen, SIDE), targets[held_out])

    out.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), out / "weights.pth")
    (out / "labels.txt").write_text("\n".join(LABELS) + "\n")
    write_samples(network, unseen, out / "samples")
    print(f"parity_resnet18: accuracy {share:.3f} on {len(held_out)} held-out digits")


if __name__ == "__main__":
    main()
