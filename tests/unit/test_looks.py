"""Which kind of module its tensors' names and shapes look like, against torch's own modules."""

import pytest
from torch import nn

from scripts.inspection.looks import kind, look


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (nn.Linear(4, 3), "Linear 4 -> 3"),
        (nn.Linear(4, 3, bias=False), "Linear 4 -> 3"),
        (nn.Conv1d(2, 5, 3), "Conv1d 2 -> 5, 3"),
        (nn.Conv2d(3, 8, (5, 7), bias=False), "Conv2d 3 -> 8, 5x7"),
        (nn.Conv3d(1, 8, 3), "Conv3d 1 -> 8, 3x3x3"),
        (nn.Conv2d(8, 8, 3, groups=8), "Conv2d 1 -> 8, 3x3"),
        (nn.ConvTranspose2d(8, 3, 2), "ConvTranspose2d 8 -> 3, 2x2"),
        (nn.BatchNorm2d(6), "BatchNorm 6"),
        (nn.BatchNorm2d(6, affine=False), "BatchNorm 6"),
        (nn.LayerNorm(6), "Norm 6"),
        (nn.GroupNorm(2, 6), "Norm 6"),
        (nn.LayerNorm(6, bias=False), "scale 6"),
        (nn.PReLU(3), "scale 3"),
        (nn.LSTM(4, 5), "LSTM 4 -> 5"),
        (nn.LSTM(4, 5, num_layers=2, bidirectional=True, bias=False), "LSTM 4 -> 5"),
        (nn.LSTM(4, 6, proj_size=2), "LSTM 4 -> 2"),
        (nn.GRU(4, 5), "GRU 4 -> 5"),
        (nn.RNN(4, 5), "RNN 4 -> 5"),
        (nn.LSTMCell(4, 5), "LSTMCell 4 -> 5"),
        (nn.MultiheadAttention(8, 2), "MultiheadAttention 8"),
        (nn.MultiheadAttention(8, 2, kdim=4, vdim=4), "MultiheadAttention 8"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), "parameter"),
        (nn.Bilinear(2, 3, 4), "Conv1d 2 -> 4, 3"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_module_of_torch_is_recognised(module: nn.Module, told: str) -> None:
    own = {name: tuple(value.shape) for name, value in module.state_dict().items() if "." not in name}
    assert look("features.0", own) == told


def test_a_table_is_an_embedding_by_its_name_alone() -> None:
    assert look("word_embeddings", {"weight": (100, 8)}) == "Embedding 100 x 8"
    assert look("transformer.wte", {"weight": (100, 8)}) == "Embedding 100 x 8"
    assert look("lm_head", {"weight": (100, 8)}) == "Linear 8 -> 100"


@pytest.mark.parametrize(
    "own",
    [
        {"cls_token": (1, 1, 8)},
        {},
        {"weight": ()},
        {"weight_ih": (4, 0), "weight_hh": (0, 0)},
        {"in_proj_weight": (3,)},
    ],
)
def test_anything_else_is_a_parameter(own: dict[str, tuple[int, ...]]) -> None:
    assert look("odd", own) == "parameter"


def test_kinds_are_counted_without_sizes() -> None:
    assert kind("Conv2d 3 -> 8, 5x7") == "Conv2d"
