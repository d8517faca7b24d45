"""Tensors by module: as much detail as fits into a table that a reader takes in."""

import torch
import torchvision
from torch import nn

from scripts.inspection.groups import ROWS, by_module
from scripts.inspection.tensors import lines, totals


def rows(module: nn.Module) -> list[tuple[str, str]]:
    return [(row.module, row.looks) for row in by_module(lines(module.state_dict()))]


def test_a_small_network_has_a_row_for_each_module() -> None:
    (first, second) = by_module(
        lines(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).state_dict())
    )
    assert (first.module, first.looks, first.shapes) == ("0", "Linear 4 -> 3", "weight [3, 4], bias [3]")
    assert (second.module, second.values, second.bytes, second.tensors) == ("2", 8, 32, 2)
    assert second.dtypes == ("float32",)


def test_a_parameter_of_the_root_stands_alone() -> None:
    state = {"cls_token": torch.zeros(1, 1, 4), "head.weight": torch.zeros(2, 4)}
    told = by_module(lines(state))
    assert [(row.module, row.looks, row.shapes) for row in told] == [
        ("cls_token", "parameter", "cls_token [1, 1, 4]"),
        ("head", "Linear 4 -> 2", "weight [2, 4]"),
    ]


def test_a_layer_that_is_the_whole_network_is_one_row() -> None:
    assert rows(nn.Linear(4, 3)) == [("", "Linear 4 -> 3")]
    assert rows(nn.LSTM(4, 5)) == [("", "LSTM 4 -> 5")]


def test_blocks_that_are_made_alike_share_a_row() -> None:
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        network = nn.ModuleDict({"layers": nn.TransformerEncoder(layer, 12), "head": nn.Linear(8, 2)})
    told = rows(on_one_value(network))
    assert told == [
        ("layers.layers.0-11", "1 MultiheadAttention, 3 Linear, 2 Norm, each of 12"),
        ("head", "Linear 8 -> 2"),
    ]


def test_steps_that_tell_from_no_other_group_are_left_out() -> None:
    block = nn.ModuleDict({"conv": nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))})
    network = nn.ModuleDict(
        {"blocks": nn.Sequential(*[block] * 30), "head": nn.ModuleDict({"fc": nn.Linear(4, 2)})}
    )
    state = {name: one.clone() for name, one in network.state_dict().items()}
    told = [(row.module, row.looks) for row in by_module(lines(state))]
    assert told == [("blocks.0-29", "1 Linear, 1 Norm, each of 30"), ("head.fc", "Linear 4 -> 2")]


def test_blocks_of_other_shapes_or_with_a_gap_stand_apart() -> None:
    same, other = nn.Linear(4, 4), nn.Linear(4, 5)
    network = nn.Sequential(same, nn.Linear(4, 4), other, nn.ReLU(), nn.Linear(4, 5))
    assert [module for module, _ in rows(network)] == ["0-1", "2", "4"]


def test_the_table_of_a_large_network_is_short_and_adds_up() -> None:
    with torch.device("meta"):
        network = torchvision.models.resnet152()
    held = lines(on_one_value(network).state_dict())
    told = by_module(held)
    assert ("layer3.1-35", "3 Conv2d, 3 BatchNorm, each of 35") in [(row.module, row.looks) for row in told]
    assert len(told) <= ROWS
    assert sum(row.tensors for row in told) == len(held)
    assert sum(row.values for row in told) == totals(held).parameters + totals(held).buffers


def on_one_value(network: nn.Module) -> nn.Module:
    """The network with tensors that hold one value each, and share no memory."""
    state = {
        name: torch.zeros((), dtype=one.dtype).expand(one.shape) for name, one in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    return network


def test_tied_weights_count_in_the_row_of_their_owner() -> None:
    weight = torch.zeros(10, 4)
    told = by_module(
        lines({"encoder.weight": weight, "decoder.weight": weight, "decoder.bias": torch.zeros(10)})
    )
    assert [(row.module, row.values) for row in told] == [("encoder", 40), ("decoder", 10)]


def test_hostile_names_cost_no_more_than_their_length() -> None:
    state = {".".join(["a"] * 10_000): torch.zeros(1), "." * 1000: torch.zeros(1), "": torch.zeros(1)}
    told = by_module(lines(state))
    assert sum(row.tensors for row in told) == 3


def test_a_thousand_modules_at_the_top_are_each_a_row() -> None:
    state = {f"net{chr(97 + index % 26)}{index}.weight": torch.zeros(1) for index in range(1000)}
    assert len(by_module(lines(state))) == 1000
