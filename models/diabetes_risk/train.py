"""Train diabetes_risk on scikit-learn's diabetes study, and write its golden samples.

A patient is `high` when the disease progressed more than it did in half of the training patients.
The expected answers come from plain torch, so they prove the recipe instead of repeating it.
Everything is seeded: running this again gives the same weights on the same machine and torch build.

    python models/diabetes_risk/train.py [--out DIR]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from model import MyModel
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

LABELS = ("low", "high")
EPOCHS = 200
SAMPLES = 3  # the first held-out patients


def train(inputs: Tensor, targets: Tensor) -> MyModel:
    """Features float32 [N, 10] and classes int64 [N] -> the trained network, in eval mode."""
    network = MyModel()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss_of(network(inputs), targets).backward()
        optimizer.step()
    return network.eval()


@torch.inference_mode()
def accuracy(network: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Share of rows, 0..1, whose greatest logit is the target."""
    return float((network(inputs).argmax(dim=1) == targets).float().mean())


@torch.inference_mode()
def write_samples(network: nn.Module, inputs: Tensor, folder: Path) -> None:
    """Write the first patients as JSON, and the raw logits of each, float32 [2]."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(inputs[:SAMPLES].tolist(), start=1):
        path = folder / f"patient{number}.json"
        # Rounded first: the answer must belong to the numbers in the file.
        features = [round(value, 6) for value in row]
        path.write_text(json.dumps({"input": features}) + "\n")
        np.save(path.with_suffix(".npy"), network(torch.tensor([features]))[0].numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train diabetes_risk and write its golden samples.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    out: Path = parser.parse_args().out

    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    study = load_diabetes()
    inputs = torch.from_numpy(study.data.astype(np.float32))
    seen, held_out = train_test_split(np.arange(len(inputs)), test_size=0.2, random_state=0)
    median = float(np.median(study.target[seen]))
    targets = torch.from_numpy((study.target > median).astype(np.int64))

    network = train(inputs[seen], targets[seen])
    share = accuracy(network, inputs[held_out], targets[held_out])

    out.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), out / "weights.pth")
    (out / "labels.txt").write_text("\n".join(LABELS) + "\n")
    write_samples(network, inputs[held_out], out / "samples")
    print(f"median progression of the training patients: {median}")
    print(f"diabetes_risk: accuracy {share:.3f} on {len(held_out)} held-out patients")


if __name__ == "__main__":
    main()
