"""From somebody else's checkpoint to an endpoint: inspect, init, up, and no editor in between."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from PIL import Image
from torchvision import models

from scripts import catalog
from scripts.packing.fetch import fetch
from scripts.places import ROOT, Places
from scripts.processes.children import Children
from tests.server.running import Running, private_places, run, temporary

pytestmark = pytest.mark.server

BREEDS = 37
"""Classes of the network that was fine-tuned: of cats and dogs, say."""


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cat, looking the other way than in the repository's own sample."""
    from skimage import data

    path = tmp_path_factory.mktemp("photo") / "cat.jpg"
    Image.fromarray(np.ascontiguousarray(data.chelsea()[:, ::-1])).save(path, quality=95)
    return path


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published file, under a name that tells nothing."""
    entry = catalog.find(Places(), "mobilenet_v2")
    with Children() as children:
        fetch(entry, children)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    shutil.copyfile(entry.weights, path)
    return path


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-50 of 37 classes as a training loop leaves it: DataParallel, optimizer, epoch, label map."""
    torch.manual_seed(5)
    network = models.resnet50(num_classes=BREEDS)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    parallel = torch.nn.DataParallel(network)
    path = tmp_path_factory.mktemp("training") / "checkpoint.pth.tar"
    torch.save(
        {
            "epoch": 90,
            "state_dict": parallel.state_dict(),
            "optimizer": torch.optim.SGD(parallel.parameters(), lr=0.1).state_dict(),
            "class_to_idx": {f"breed {index}": index for index in range(BREEDS)},
        },
        path,
    )
    return path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """No models at all, to begin with."""
    folder = tmp_path_factory.mktemp("init")
    (folder / "models").mkdir()
    chosen = private_places(folder / "private", folder / "models")
    yield chosen
    shutil.rmtree(temporary(chosen))


@pytest.fixture(scope="module")
def initialised(places: Places, mobilenet: Path, resnet: Path, photo: Path) -> Places:
    """Both of them, by the commands of the README."""
    labels = ROOT / "models" / "mobilenet_v2" / "labels.txt"
    for words in (
        ("inspect", mobilenet),
        ("init", mobilenet, "--name", "cats", "--labels", labels, "--sample", photo),
        ("inspect", resnet),
        ("init", resnet, "--name", "breeds", "--sample", photo),
    ):
        done = run(places, *map(str, words))
        assert done.returncode == 0, done.stdout + done.stderr
    return places


@pytest.fixture(scope="module")
def serving(initialised: Places) -> Iterator[Running]:
    running = Running(initialised)
    try:
        running.wait_serving()
        yield running
    finally:
        running.stop()


def transform(photo: Path) -> torch.Tensor:
    """As torchvision prepares pictures for its weights of 2017, written here once more: [1, 3, 224, 224]."""
    image = Image.open(photo).convert("RGB")
    scale = 256 / min(image.size)
    width, height = (int(side * scale) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    normal = (pixels - np.array([0.485, 0.456, 0.406], np.float32)) / np.array(
        [0.229, 0.224, 0.225], np.float32
    )
    return torch.from_numpy(normal.transpose(2, 0, 1).copy())[None]


def expected(network: torch.nn.Module, photo: Path) -> list[float]:
    with torch.inference_mode():
        scores = network.eval()(transform(photo))[0].softmax(0)
    return [float(score) for score in scores.sort(descending=True).values[:5]]


def answer(serving: Running, name: str, photo: Path) -> tuple[list[str], list[float]]:
    """Labels and scores, best first."""
    response = requests.post(serving.url(name), data=photo.read_bytes(), timeout=60)
    assert response.status_code == 200, response.text
    predictions = response.json()["predictions"]
    return [one["label"] for one in predictions], [one["score"] for one in predictions]


def test_published_weights_answer_as_their_publishers_network_does(
    serving: Running, mobilenet: Path, photo: Path
) -> None:
    network = models.mobilenet_v2()
    network.load_state_dict(torch.load(mobilenet, weights_only=True))
    labels, scores = answer(serving, "cats", photo)
    assert labels[0] == "Egyptian cat"
    assert scores == pytest.approx(expected(network, photo), rel=1e-3, abs=1e-4)


def test_a_fine_tuned_network_in_a_training_checkpoint_answers_as_it_was(
    serving: Running, resnet: Path, photo: Path
) -> None:
    network = models.resnet50(num_classes=BREEDS)
    state = torch.load(resnet, weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    labels, scores = answer(serving, "breeds", photo)
    assert set(labels) < {f"breed {index}" for index in range(BREEDS)}
    assert scores == pytest.approx(expected(network, photo), rel=1e-3, abs=1e-4)


def test_what_is_assumed_is_said_until_it_is_proven(serving: Running, initialised: Places) -> None:
    """The published file says how inputs were prepared; of the fine-tuned one nothing does."""
    seen = json.loads(serving.command("list", "--json").stdout)
    assert not seen["cats"]["versions"]["1.0"].get("assumed")
    assert seen["breeds"]["versions"]["1.0"]["assumed"] == ["input"]
    assert "handler.input is assumed" in run(initialised, "check", "breeds").stdout
    assert "assumed" not in run(initialised, "check", "cats").stdout


def test_a_picture_in_another_format_than_the_sample_is_answered(serving: Running, photo: Path) -> None:
    stream = io.BytesIO()
    Image.open(photo).rotate(5).save(stream, "PNG")
    response = requests.post(serving.url("breeds"), data=stream.getvalue(), timeout=60)
    assert response.status_code == 200
    assert len(response.json()["predictions"]) == 5
