"""The tensors of one module -> the layer that holds just these, as far as shapes, names and places tell."""

from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.drafting.drafting import draft
from tests.drafted import filled

spectral_norm, weight_norm = nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm
DEPRECATED = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")


class Around(nn.Module):
    """A network with this module in it, under this name, between two that tell nothing of it."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(2, 3, 4))
        self.add_module(name, module)
        self.last = nn.Linear(1, 1)


def redrafted(name: str, module: nn.Module, folder: Path) -> tuple[nn.Module, str]:
    """The same module in the draft, and the draft's text."""
    state = Around(name, module).state_dict()
    found = draft(state)
    return filled(found, state, folder).get_submodule(name), found.source


def settings(module: nn.Module, names: str) -> dict[str, object]:
    return {name: getattr(module, name) for name in names.split()}


@pytest.mark.parametrize(
    ("name", "module", "told"),
    [
        ("fc", nn.Linear(4, 8), "in_features out_features"),
        ("fc", nn.Linear(4, 8, bias=False), "in_features out_features bias"),
        ("conv", nn.Conv1d(3, 8, 5, padding=2), "in_channels out_channels kernel_size padding stride"),
        ("conv", nn.Conv2d(3, 8, (1, 7), padding=(0, 3)), "kernel_size padding"),
        ("conv", nn.Conv2d(3, 8, 3, padding=1, bias=False), "kernel_size padding bias"),
        ("conv", nn.Conv3d(3, 8, 3, padding=1), "kernel_size padding"),
        ("patch_embed", nn.Conv2d(3, 8, 4, stride=4), "kernel_size stride"),
        ("proj", nn.Conv2d(3, 8, 16, stride=16), "kernel_size stride"),
        ("conv", nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1), "in_channels kernel_size stride padding"),
        ("conv", nn.ConvTranspose1d(8, 3, 2, stride=2), "in_channels kernel_size stride"),
        ("deconv1", nn.ConvTranspose2d(8, 8, 3, 2, 1, 1, bias=False), "stride padding output_padding bias"),
        ("norm", nn.BatchNorm1d(8), "num_features affine track_running_stats"),
        ("norm", nn.BatchNorm1d(8, affine=False), "num_features affine track_running_stats"),
        ("norm", nn.LayerNorm(8), "normalized_shape"),
        ("norm", nn.LayerNorm((3, 4, 4)), "normalized_shape"),
        ("norm", nn.RMSNorm(8), "normalized_shape"),
        ("act", nn.PReLU(), "num_parameters"),
        ("prelu", nn.PReLU(8), "num_parameters"),
        ("word_embeddings", nn.Embedding(100, 8), "num_embeddings embedding_dim"),
        ("bilinear", nn.Bilinear(3, 4, 5), "in1_features in2_features out_features"),
        ("rnn", nn.LSTM(3, 4), "input_size hidden_size num_layers bias bidirectional proj_size"),
        ("rnn", nn.LSTM(3, 4, 2, bidirectional=True), "input_size hidden_size num_layers bidirectional"),
        ("rnn", nn.LSTM(3, 4, 3, bias=False, proj_size=2), "hidden_size num_layers bias proj_size"),
        ("rnn", nn.GRU(3, 4, 2), "input_size hidden_size num_layers"),
        ("rnn", nn.RNN(3, 4, bidirectional=True), "input_size hidden_size bidirectional"),
        ("cell", nn.LSTMCell(3, 4), "input_size hidden_size bias"),
        ("cell", nn.GRUCell(3, 4, bias=False), "input_size hidden_size bias"),
        ("cell", nn.RNNCell(3, 4), "input_size hidden_size"),
        ("attn", nn.MultiheadAttention(16, 8, batch_first=True), "embed_dim num_heads kdim batch_first"),
        ("attn", nn.MultiheadAttention(16, 8, bias=False, add_bias_kv=True), "embed_dim num_heads"),
        ("attn", nn.MultiheadAttention(128, 2, kdim=5, vdim=6), "embed_dim num_heads kdim vdim"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)  # fmt: skip
def test_a_layer_is_told_by_its_tensors(name: str, module: nn.Module, told: str, tmp_path: Path) -> None:
    made, _ = redrafted(name, module, tmp_path)
    assert type(made) is type(module)
    wanted = settings(module, told)
    wanted |= {"bias": made.bias} if isinstance(wanted.get("bias"), torch.Tensor) else {}
    assert settings(made, told) == wanted


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.TransformerEncoderLayer(16, 2, 32), nn.TransformerEncoderLayer),
        (nn.TransformerEncoderLayer(16, 2, 32, bias=False), nn.TransformerEncoderLayer),
        (nn.TransformerDecoderLayer(16, 2, 32), nn.TransformerDecoderLayer),
        (
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 3, nn.LayerNorm(16)
            ),
            nn.TransformerEncoder,
        ),
        (nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32), 2), nn.TransformerDecoder),
    ],
)
def test_transformer_layers_are_torchs_own(module: nn.Module, kind: type, tmp_path: Path) -> None:
    made, source = redrafted("encoder", module, tmp_path)
    assert type(made) is kind
    assert "confirm: nhead, batch_first, norm_first, activation" in source


@DEPRECATED
@pytest.mark.parametrize(
    ("module", "function"),
    [
        (nn.utils.spectral_norm(nn.Linear(4, 8)), "nn.utils.spectral_norm("),
        (weight_norm(nn.Linear(4, 8)), "nn.utils.parametrizations.weight_norm("),
        (weight_norm(nn.ConvTranspose1d(8, 4, 4, 2, 1), dim=1), "dim=1"),
        (spectral_norm(nn.Conv2d(4, 8, 3)), "nn.utils.parametrizations.spectral_norm("),
    ],
)
def test_reparametrised_weights_are_wrapped_again(module: nn.Module, function: str, tmp_path: Path) -> None:
    _, source = redrafted("layer", module, tmp_path)
    assert function in source


@DEPRECATED
def test_weight_norm_under_its_old_names_is_told_too(tmp_path: Path) -> None:
    _, source = redrafted("conv", nn.utils.weight_norm(nn.Conv1d(4, 8, 3)), tmp_path)
    assert "nn.utils.weight_norm(" in source
    assert "nn.Conv1d(4, 8, kernel_size=3, padding=1)" in source
    assert "(Conv1d)" in source


def test_a_wrapped_layer_alone_is_still_loaded(tmp_path: Path) -> None:
    state = weight_norm(nn.Linear(4, 8)).state_dict()
    filled(draft(state), state, tmp_path)


# What stands around


def middle(tmp_path: Path, *modules: nn.Module) -> nn.Module:
    """The second of modules in a row, redrafted."""
    state = nn.Sequential(*modules).state_dict()
    made = filled(draft(state), state, tmp_path)
    return made[1]


@pytest.mark.parametrize(
    ("before", "norm"),
    [
        (nn.Linear(3, 8), nn.BatchNorm1d(8)),
        (nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8)),
        (nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)),
        (nn.Conv3d(3, 8, 1), nn.BatchNorm3d(8)),
        (nn.Conv2d(3, 32, 1), nn.GroupNorm(32, 32)),
        (nn.Conv2d(3, 8, 1), nn.GroupNorm(1, 8)),
        (nn.Conv2d(3, 8, 1), nn.PReLU(8)),
        (nn.Linear(3, 8), nn.LayerNorm(8)),
    ],
)
def test_a_vector_is_the_norm_of_what_stands_before_it(
    before: nn.Module, norm: nn.Module, tmp_path: Path
) -> None:
    made = middle(tmp_path, before, norm, nn.Identity())
    assert type(made) is type(norm)
    if isinstance(norm, nn.GroupNorm):
        assert settings(made, "num_groups num_channels") == settings(norm, "num_groups num_channels")


def test_a_norm_before_its_convolution_has_that_ones_dimensions(tmp_path: Path) -> None:
    state = nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)).state_dict()
    assert type(filled(draft(state), state, tmp_path)[0]) is nn.BatchNorm2d


def test_instance_norm_is_told_by_its_name(tmp_path: Path) -> None:
    network = nn.Module()
    network.conv = nn.Conv2d(3, 8, 3)
    network.in1 = nn.InstanceNorm2d(8, affine=True)
    state = network.state_dict()
    assert type(filled(draft(state), state, tmp_path).in1) is nn.InstanceNorm2d


@pytest.mark.parametrize(
    ("convolution", "groups"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), 8),
        (nn.Conv2d(8, 16, 3, groups=8), 8),
        (nn.Conv2d(8, 8, 3, groups=2), 2),
        (nn.Conv2d(8, 4, 3), 1),
    ],
)
def test_groups_follow_from_the_channels_that_arrive(
    convolution: nn.Module, groups: int, tmp_path: Path
) -> None:
    made = middle(tmp_path, nn.Conv2d(3, 8, 1), convolution)
    assert made.groups == groups
    assert made.in_channels == 8


def test_a_skip_convolution_is_neither_grouped_nor_transposed(tmp_path: Path) -> None:
    network = nn.Module()
    network.main = nn.Sequential(nn.Conv2d(16, 32, 3, bias=False), nn.BatchNorm2d(32))
    network.downsample = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32))
    state = network.state_dict()
    made = filled(draft(state), state, tmp_path).downsample[0]
    assert (type(made), made.groups) == (nn.Conv2d, 1)


def test_a_generator_without_biases_is_told_by_its_norms(tmp_path: Path) -> None:
    modules = [
        nn.ConvTranspose2d(100, 64, 4, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 3, 4, bias=False), nn.Tanh(),
    ]  # fmt: skip
    state = nn.Sequential(*modules).state_dict()
    found = draft(state)
    made = filled(found, state, tmp_path)
    assert [type(made[at]) for at in (0, 3, 6)] == [nn.ConvTranspose2d] * 3
    assert found.forward == "drafted"


# What is no layer


def test_tensors_of_its_own_are_parameters_and_whole_numbers_buffers(tmp_path: Path) -> None:
    network = nn.Module()
    network.token = nn.Parameter(torch.ones(1, 1, 4))
    network.scale = nn.Parameter(torch.ones(()))
    network.phase = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    network.register_buffer("ids", torch.arange(5))
    network.register_buffer("seen", torch.ones(2, dtype=torch.bool))
    network.register_buffer("pe", torch.ones(4, 4))
    network.fc = nn.Linear(4, 2)
    made = filled(draft(network.state_dict()), network.state_dict(), tmp_path)
    assert [name for name, _ in made.named_parameters(recurse=False)] == ["token", "scale", "phase"]
    assert {name: one.dtype for name, one in made.named_buffers(recurse=False)} == {
        "ids": torch.int64,
        "seen": torch.bool,
        "pe": torch.float32,
    }


@pytest.mark.parametrize(
    "network",
    [
        nn.ParameterList([torch.zeros(3), torch.zeros(2, 2)]),
        nn.ParameterDict({"a": torch.zeros(3)}),
        nn.ModuleDict({"x": nn.ParameterList([torch.zeros(3), torch.zeros(2)]), "y": nn.Linear(2, 2)}),
        nn.ModuleList([nn.ModuleList([nn.Linear(2, 2)]), nn.LSTM(2, 2)]),
        nn.LSTM(3, 4),
        nn.Linear(3, 4),
        nn.BatchNorm2d(3),
        nn.EmbeddingBag(10, 3),
        nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
    ],
    ids=lambda network: type(network).__name__,
)
def test_any_root_loads_strictly(network: nn.Module, tmp_path: Path) -> None:
    state = network.state_dict()
    made = filled(draft(state), state, tmp_path)
    assert all(torch.equal(made.state_dict()[name], one) for name, one in state.items())


def test_a_weight_of_whole_numbers_is_no_linear_layer(tmp_path: Path) -> None:
    state = {"fc.weight": torch.ones(4, 4, dtype=torch.int8), "fc.bias": torch.ones(4)}
    made = filled(draft(state), state, tmp_path)
    assert made.state_dict()["fc.weight"].dtype == torch.int8


def test_a_counter_that_old_files_lack_is_none_of_the_drafts_business(tmp_path: Path) -> None:
    state = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).state_dict()
    old = {name: one for name, one in state.items() if not name.endswith("num_batches_tracked")}
    assert "nn.BatchNorm2d(2)" in draft(old).source
