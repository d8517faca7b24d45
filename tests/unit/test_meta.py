"""Networks without memory: parameters on meta, whatever is computed from numbers real, nothing drawn."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from handlers.meta import WithoutWeights
from handlers.network import open_network
from handlers.recipe import Architecture, Model, TensorInput


def test_layers_have_no_memory_and_draw_no_numbers() -> None:
    before = torch.get_rng_state()
    with WithoutWeights():
        network = nn.Sequential(nn.Linear(3, 1 << 40), nn.LSTM(4, 5), nn.BatchNorm1d(6), nn.Embedding(7, 8))
    assert all(value.is_meta for value in network.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    assert network[0].weight.shape == (1 << 40, 3)


def test_what_is_computed_from_numbers_is_real() -> None:
    with WithoutWeights():
        assert torch.linspace(0, 1, 3)[1].item() == 0.5
        assert torch.tensor([2.0, 3.0]).mul_(2).tolist() == [4.0, 6.0]
        assert torch.arange(3).add_(1).tolist() == [1, 2, 3]
    assert torch.zeros(2).tolist() == [0.0, 0.0]  # and afterwards everything


def test_a_device_that_is_named_is_taken() -> None:
    with WithoutWeights():
        assert torch.ones(2, device="cpu").tolist() == [1.0, 1.0]
        assert torch.ones(2, device="cpu").fill_(3).tolist() == [3.0, 3.0]
        assert torch.ones(2).is_meta


def test_a_regnet_shares_the_files_pages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    builder = "regnet_y_400mf"
    wanted = models.get_model(builder, weights=None, num_classes=3).eval()
    torch.save(wanted.state_dict(), tmp_path / "weights.pth")
    recipe = Model(
        name="one",
        version="1",
        task="tensor",
        weights="weights.pth",
        input=TensorInput(shape=[3, 32, 32]),
        architecture=Architecture(torchvision=builder, args={"num_classes": 3}),
    )
    network = open_network(recipe, tmp_path, torch.device("cpu"))
    assert caplog.records == []  # it would say that it was built in memory
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(x), wanted(x))
