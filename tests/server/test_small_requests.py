"""What makes small requests quick, in a worker of the real TorchServe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import torch
from torch import nn

from tests.server.running import Running, private_places, serving

pytestmark = pytest.mark.server

RECIPE = """
minWorkers: 1
maxWorkers: 1
batchSize: 8
maxBatchDelay: 0
handler:
  name: small
  version: "1.0"
  task: task.py:Told
  architecture: {class: model.py:Small}
  weights: weights.pth
  max_items: 256
  input: {kind: tensor, shape: [4]}
"""

MODEL = """
from torch import nn

class Small(nn.Linear):
    def __init__(self):
        super().__init__(4, 1, bias=False)
"""

TASK = """
import sys
from handlers.tasks import Task

class Told(Task):
    def finish(self, output):
        protocol = sys.modules.get("ts.protocol.otf_message_handler")
        reader = getattr(getattr(protocol, "_retrieve_inference_msg", None), "__self__", None)
        return {"sum": float(output[0]), "reader": type(reader).__module__.rpartition(".")[2]}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A model that sums four numbers, and says who reads its worker's messages."""
    models = tmp_path_factory.mktemp("models")
    folder = models / "small"
    folder.mkdir()
    for name, text in {"recipe.yaml": RECIPE, "model.py": MODEL, "task.py": TASK}.items():
        (folder / name).write_text(text, encoding="utf-8")
    network = nn.Linear(4, 1, bias=False)
    nn.init.ones_(network.weight)
    torch.save(network.state_dict(), folder / "weights.pth")
    with serving(private_places(tmp_path_factory.mktemp("small"), models)) as running:
        yield running


def test_a_worker_reads_its_messages_in_large_pieces(small: Running) -> None:
    answer = requests.post(small.url("small"), json={"input": [1, 2, 3, 4]}, timeout=30)
    assert answer.json() == {"sum": 10.0, "reader": "frames"}


def test_messages_of_every_size_are_read_to_their_end(small: Running) -> None:
    """Larger than one look, than the socket's buffer, and in forms; many at once."""

    def ask(count: int) -> list[float]:
        body = json.dumps([[count, index, 0, 0] for index in range(count)]).encode() + b" " * 1000 * count
        sent = {"files": {"field": body}} if count % 2 else {"data": body}
        answer = requests.post(small.url("small"), timeout=30, **sent)
        assert answer.status_code == 200, answer.text
        return [one["sum"] for one in answer.json()["answers"]]

    counts = [1, 2, 3, 50, 51, 250, 251] * 4
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, counts)) == [
            [float(count + index) for index in range(count)] for count in counts
        ]


def test_a_recipe_without_delay_is_registered_without(small: Running) -> None:
    described = requests.get(f"{small.config.management.url}/models/small", timeout=10).json()
    assert (described[0]["maxBatchDelay"], described[0]["batchSize"]) == (0, 8)
