"""The README's commands, run in a copy of the tree as a new user would; their output is the README's."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from scripts.places import ROOT
from tests.server.running import private_places

pytestmark = pytest.mark.server

README = (ROOT / "README.md").read_text(encoding="utf-8")
PORT = "127.0.0.1:8000"

RUN_ELSEWHERE = {
    "docker-compose up": "tests/docker",
    "scripts/pthserve test": ".ci/run, this test is inside of it",
    ".venv/bin/python -m benchmarks.goals --show": "measured by hand, on a machine with nothing else to do",
    "scripts/pthserve tune digits_mlp --minutes 4 --connections 1,16,64": "tests/server/test_tune.py",
    "scripts/pthserve optimise parity_resnet18": "tests/server/test_optimise.py",
}

DECIDED = r"(eager|torchscript|onnxruntime|openvino)( channels_last)?"
"""Which of them is fastest, and by how much, is the machine's to say."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def transcript() -> Iterator[tuple[str, str]]:
    """(command, output) of every console block."""
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


class Clone:
    """A copy of the tree with ports of its own, and the environment that is installed already."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "pthserve"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        )
        for name in listed.stdout.split("\0"):
            if name and (ROOT / name).is_file():
                target = self.tree / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        self.places = private_places(folder / "private")
        self.environment = {
            **os.environ,
            "PTHSERVE_VENV": os.environ.get("PTHSERVE_VENV", str(ROOT / ".venv")),
            "PTHSERVE_CONFIG": str(self.places.config),
        }
        lines = self.places.config.read_text(encoding="utf-8").splitlines()
        address = next(line for line in lines if line.startswith("gateway_address="))
        self.port = address.rpartition("//")[2]
        self.up: subprocess.Popen[str] | None = None

    def run(self, command: str) -> str:
        done = subprocess.run(
            shlex.split(command.replace(PORT, self.port)),
            cwd=self.tree,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.replace(self.port, PORT)

    def start(self, command: str) -> str:
        """Start `up`, and what it printed until it serves."""
        self.stop()
        self.up = subprocess.Popen(
            shlex.split(command), cwd=self.tree, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert self.up.stdout is not None
        lines = []
        for line in self.up.stdout:
            lines.append(line)
            if "serving; Ctrl-C stops" in line:
                return "".join(lines).replace(self.port, PORT)
        raise AssertionError("".join(lines))

    def stop(self) -> None:
        if self.up is not None:
            self.up.send_signal(signal.SIGINT)
            assert self.up.wait(60) == 0
            self.close()

    def close(self) -> None:
        """End it whatever it does."""
        if self.up is not None:
            self.up.terminate()
            self.up.wait(60)
            assert self.up.stdout is not None
            self.up.stdout.close()
            self.up = None


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    one = Clone(tmp_path_factory.mktemp("clone"))
    try:
        yield one
    finally:
        one.close()


def comparable(output: str) -> list[str]:
    """Lines in an order that doesn't tell which model was ready first, numbers to four digits, blanks as one.

    How much memory a worker takes, and which difference is as good as none, is the machine's to say.
    """
    rounded = re.sub(r"\d+\.\d{4,}(e-\d+)?", lambda found: f"{float(found.group()):.4g}", output)
    rounded = re.sub(r"\d+ MiB", "N MiB", rounded)
    gained = r"\S+ times as fast as eager, differs by [^;]*|nothing is clearly faster"
    rounded = re.sub(rf"(?<=[:;] )({DECIDED}, ({gained})|NOTE: no time for [^;]*); ", "", rounded)
    rounded = re.sub(rf"N MiB {DECIDED} ", "N MiB RUNTIME ", re.sub(" +", " ", rounded))
    rounded = re.sub(r"\d(\.\d+)?e-\d\d", "0", rounded)
    return sorted(" ".join(line.split()) for line in rounded.splitlines() if line.strip())


def test_every_command_in_the_transcripts_prints_what_the_readme_shows(clone: Clone) -> None:
    for command, expected in transcript():
        if command in RUN_ELSEWHERE:
            continue
        output = clone.start(command) if command.startswith("scripts/pthserve up") else clone.run(command)
        assert comparable(output) == comparable(expected), command
    clone.stop()


@pytest.fixture(scope="module")
def owned(clone: Clone) -> Clone:
    """A network that nothing here was made with, its labels and a picture, in the folder of the commands."""
    torch.manual_seed(7)
    model = mobilenet_v2(num_classes=2).eval()
    model.classifier[1].bias.data[0] += 1  # untrained scores would be a tie
    Image.open(ROOT / "models/mobilenet_v2/samples/espresso.jpg").save(clone.tree / "cat.jpg")
    transform = MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    writes_expect = next(block for block in blocks("python") if "numpy.save" in block)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(clone.tree)
        exec(writes_expect, {"model": model, "transform": transform})
    labels = ["no cat", "no cat"]
    best = int(np.load(clone.tree / "cat.npy").argmax())
    labels[best] = "cat"  # what this network, which never learnt, takes for one
    (clone.tree / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    return clone


def answered_labels(clone: Clone, name: str) -> list[str]:
    answer = json.loads(clone.run(f"curl -s -T cat.jpg http://{PORT}/predictions/{name}"))
    return [one["label"] for one in answer["predictions"]]


def test_ones_own_pth_becomes_an_endpoint_in_three_lines(owned: Clone) -> None:
    commands = next(block for block in blocks("sh") if "cats" in block).splitlines()
    assert len(commands) == 3
    for command in commands[:-1]:
        owned.run(command)
    printed = owned.start(commands[-1])
    assert re.search(r"cats +1\.0 +\d +1 passed \(1 self-recorded\) +input ", printed)
    assert answered_labels(owned, "cats") == ["cat", "no cat"]
    owned.stop()


def test_a_recipe_written_by_hand_serves(owned: Clone) -> None:
    folder = owned.tree / "models" / "handmade"
    (folder / "samples").mkdir(parents=True)
    for name in ("cats.pth", "labels.txt", "cat.jpg", "cat.npy"):
        shutil.copy(owned.tree / name, folder / ("samples" if name.startswith("cat.") else "."))
    (folder / "model.py").write_text(
        "from torchvision.models.mobilenetv2 import MobileNetV2\n\n\nclass CatNet(MobileNetV2):\n"
        '    """The owner\'s network."""\n',
        encoding="utf-8",
    )
    text = next(iter(blocks("yaml"))).replace("name: cats\n", "name: handmade\n")
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    printed = owned.start("scripts/pthserve up handmade")
    assert re.search(r"handmade +1\.0 +1 +1 passed +- ", printed)
    assert answered_labels(owned, "handmade") == ["cat", "no cat"]
    owned.stop()


def test_a_task_of_ones_own_answers_as_the_readme_says(clone: Clone) -> None:
    folder = clone.tree / "models" / "dominant"
    shutil.copytree(clone.tree / "models" / "digits_cnn", folder)
    (folder / "task.py").write_text(next(b for b in blocks("python") if "Dominant" in b), encoding="utf-8")
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    text = text.replace("name: digits_cnn", "name: dominant").replace(
        "task: classify", "task: task.py:Dominant"
    )
    text = text.replace("    - {input: samples/four.png, expect: four}\n", "")
    text = re.sub(r", label: \w+", "", text)  # its answers have another form than classify's
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    clone.start("scripts/pthserve up dominant")
    url = f"http://{PORT}/predictions/dominant"
    assert json.loads(clone.run(f"curl -s -T models/dominant/samples/seven.png {url}")) == {
        "label": "seven",
        "sure": True,
    }
    clone.stop()
