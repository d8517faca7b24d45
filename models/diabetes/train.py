"""Train diabetes on scikit-learn's diabetes study, and write its golden samples.

The network learns the standardised target; recipe.yaml undoes that with the mean and std printed here,
so a change of the split means writing both there by hand. So do the values of the samples whose
expected answer stands in the recipe itself: they are printed as they should read.
The expected answers come from plain torch, so they prove the recipe instead of repeating it.
Everything is seeded: running this again gives the same weights on the same machine and torch build.

    python models/diabetes/train.py [--out DIR]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from model import ModelWithCustomLayer
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

EPOCHS = 400
RAW_SAMPLES = 2  # the first held-out patients: expected raw network outputs, in .npy
VALUE_SAMPLES = 1  # the next ones: expected progression, written in the recipe


def train(inputs: Tensor, targets: Tensor) -> ModelWithCustomLayer:
    """Features float32 [N, 10] and standardised targets [N, 1] -> the trained network, in eval mode."""
    network = ModelWithCustomLayer()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    loss_of = nn.MSELoss()
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss_of(network(inputs), targets).backward()
        optimizer.step()
    return network.eval()


def r_squared(predicted: Tensor, targets: Tensor) -> float:
    """Coefficient of determination of two tensors of one shape: 1 is perfect, 0 is the mean's guess."""
    return float(1 - (predicted - targets).square().sum() / (targets - targets.mean()).square().sum())


@torch.inference_mode()
def write_samples(network: nn.Module, inputs: Tensor, mean: float, std: float, folder: Path) -> None:
    """Write held-out patients as JSON; their answers as .npy, float32 [1], or printed for the recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(inputs[: RAW_SAMPLES + VALUE_SAMPLES].tolist(), start=1):
        path = folder / f"patient{number}.json"
        # Rounded first: the answer must belong to the numbers in the file.
        features = [round(value, 6) for value in row]
        path.write_text(json.dumps({"input": features}) + "\n")
        raw = network(torch.tensor([features]))[0]
        if number <= RAW_SAMPLES:
            np.save(path.with_suffix(".npy"), raw.numpy())
        else:
            print(f"recipe sample: {{input: samples/{path.name}, expect: [{raw.item() * std + mean:.4f}]}}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train diabetes and write its golden samples.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    out: Path = parser.parse_args().out

    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    study = load_diabetes()
    inputs = torch.from_numpy(study.data.astype(np.float32))
    progression = torch.from_numpy(study.target.astype(np.float32))[:, None]
    seen, held_out = train_test_split(np.arange(len(inputs)), test_size=0.2, random_state=0)
    # The constants of the recipe, rounded as they are written there.
    mean = round(float(study.target[seen].mean()), 4)
    std = round(float(study.target[seen].std()), 4)

    network = train(inputs[seen], (progression[seen] - mean) / std)
    with torch.inference_mode():
        predicted = network(inputs[held_out]) * std + mean
    error = (predicted - progression[held_out]).abs().mean().item()
    explained = r_squared(predicted, progression[held_out])

    out.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), out / "weights.pth")
    print(f"recipe output: mean {mean}, std {std}")
    write_samples(network, inputs[held_out], mean, std, out / "samples")
    print(
        f"diabetes: R^2 {explained:.3f}, mean absolute error {error:.1f} on {len(held_out)} held-out patients"
    )


if __name__ == "__main__":
    main()
