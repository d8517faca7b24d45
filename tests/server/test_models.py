"""The models in models/: their endpoints answer with the accuracy that their recipes state, and their
train.py reproduces their weights. The split is train.py's own, repeated here: held-out data only."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split

from handlers import checkpoint
from scripts import catalog
from scripts.places import ROOT
from tests.server.running import Running

pytestmark = pytest.mark.server

LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def stated(name: str, quantity: str) -> float:
    """The figure in the recipe's description: "accuracy 0.975", "R^2 0.313"."""
    text = " ".join((ROOT / "models" / name / "recipe.yaml").read_text(encoding="utf-8").split())
    found = re.search(rf"{re.escape(quantity)} ([\d.]+\d)", text)
    assert found, f"{name}'s description states no {quantity}"
    return float(found.group(1))


def held_out_digits() -> Iterator[tuple[bytes, int]]:
    """(PNG as train.py's pictures, digit) of the 360 that no network has seen."""
    digits = load_digits()
    rows = np.arange(len(digits.target))
    _, held_out = train_test_split(rows, test_size=0.2, random_state=0, stratify=digits.target)
    for row in held_out:
        grey = np.round(digits.images[row] * 255 / 16).astype(np.uint8)
        picture = Image.fromarray(grey).resize((28, 28), Image.Resampling.BILINEAR)
        yield _png(picture), int(digits.target[row])


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def held_out_patients() -> tuple[np.ndarray, np.ndarray, float]:
    """(features, progression, median of the training part)"""
    study = load_diabetes()
    seen, held_out = train_test_split(np.arange(len(study.target)), test_size=0.2, random_state=0)
    return study.data[held_out], study.target[held_out], float(np.median(study.target[seen]))


def answers(server: Running, name: str, bodies: list[bytes]) -> list[Any]:
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda body: server.inference.predict(name, body), bodies))
    assert {reply.status for reply in replies} == {200}
    return [reply.json() for reply in replies]


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn"])
def test_digits_are_read_with_the_stated_accuracy(server: Running, name: str) -> None:
    bodies, digits = zip(*held_out_digits(), strict=True)
    said = [answer["predictions"][0]["label"] for answer in answers(server, name, list(bodies))]
    share = np.mean([label == LABELS[digit] for label, digit in zip(said, digits, strict=True)])
    print(f"{name}: accuracy over REST {share:.4f}")
    assert share == pytest.approx(stated(name, "accuracy"), abs=0.0006)


@pytest.mark.trained
def test_parity_is_told_with_the_stated_accuracy(server: Running) -> None:
    if catalog.find(server.places, "parity_resnet18").needs_training:
        pytest.skip("parity_resnet18 needs training: scripts/pthserve train parity_resnet18")
    labels = (ROOT / "models/parity_resnet18/labels.txt").read_text(encoding="utf-8").split()
    digits = load_digits()
    rows = np.arange(len(digits.target))
    _, held_out = train_test_split(rows, test_size=0.2, random_state=0, stratify=digits.target)
    bodies = [
        _png(Image.fromarray(np.round(digits.images[row] * 255 / 16).astype(np.uint8))) for row in held_out
    ]
    said = [answer["predictions"][0]["label"] for answer in answers(server, "parity_resnet18", bodies)]
    share = np.mean(
        [label == labels[digits.target[row] % 2] for label, row in zip(said, held_out, strict=True)]
    )
    print(f"parity_resnet18: accuracy over REST {share:.4f}")
    # trained on this machine, whose arithmetic may lead elsewhere than the stated figure's
    assert share == pytest.approx(stated("parity_resnet18", "accuracy"), abs=0.03)


def test_progression_is_told_with_the_stated_error(server: Running) -> None:
    features, progression, _ = held_out_patients()
    (answer,) = answers(server, "diabetes", [json.dumps(features.tolist()).encode()])
    values = np.array([one["values"][0] for one in answer["answers"]])
    r_squared = 1 - ((values - progression) ** 2).sum() / ((progression - progression.mean()) ** 2).sum()
    print(f"diabetes: R^2 over REST {r_squared:.4f}")
    assert r_squared == pytest.approx(stated("diabetes", "R^2"), abs=0.0006)


def test_risk_is_told_with_the_stated_accuracy(server: Running) -> None:
    features, progression, median = held_out_patients()
    (answer,) = answers(server, "diabetes_risk", [json.dumps(features.tolist()).encode()])
    said = [one["predictions"][0]["label"] == "high" for one in answer["answers"]]
    share = np.mean(np.array(said) == (progression > median))
    assert share == pytest.approx(stated("diabetes_risk", "accuracy"), abs=0.0006)


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn", "diabetes", "diabetes_risk"])
def test_train_py_reproduces_the_committed_weights(name: str, tmp_path: Path) -> None:
    """To rounding: another processor adds in another order."""
    script = ROOT / "models" / name / "train.py"
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    again = checkpoint.read(tmp_path / "weights.pth")
    committed = checkpoint.read(script.parent / "weights.pth")
    assert again.keys() == committed.keys()
    for key in again:
        torch.testing.assert_close(again[key], committed[key], rtol=0.05, atol=0.02)
