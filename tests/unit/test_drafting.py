"""Names and shapes -> a whole model.py: it loads strictly, runs where a chain is told, and reads well."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from handlers.meta import WithoutWeights
from scripts.drafting.draft import Draft
from scripts.drafting.drafting import draft
from tests.drafted import assert_answers_rows_alone, assert_reads_like_ours, filled

BUILDERS = models.list_models(models)


class Named(nn.Module):
    """Modules under names, as a network of somebody's keeps them."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Residual(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        if width != out:
            self.downsample = nn.Sequential(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))


def drafted(network: nn.Module, folder: Path) -> tuple[Draft, nn.Module]:
    """The draft of a network's state dict, and what it builds, filled and in eval mode."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.uniform_(-1, 1)
    state = network.state_dict()
    found = draft(state)
    return found, filled(found, state, folder)


def assert_same(network: nn.Module, made: nn.Module, rows: torch.Tensor) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(made(rows), network.eval()(rows))


# Chains


def test_an_autoencoders_code_is_not_activated(tmp_path: Path) -> None:
    network = Named(
        encoder=nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2)),
        decoder=nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 12)),
    )
    found, made = drafted(network, tmp_path)
    rows = torch.randn(5, 12)
    with torch.inference_mode():
        torch.testing.assert_close(made(rows), network.decoder(network.encoder(rows)))
    assert "self.encoder(x)  # confirm: no activation after it" in found.source


def test_convolutions_of_several_kernels_run_beside_each_other(tmp_path: Path) -> None:
    network = Named(
        embedding=nn.Embedding(50, 20),
        convs=nn.ModuleList(nn.Conv2d(1, 20, (size, 20)) for size in (3, 4, 5)),
        fc=nn.Linear(60, 2),
    )
    found, made = drafted(network, tmp_path)
    assert isinstance(made.convs, nn.ModuleList)
    assert {one.groups for one in made.convs} == {1}
    assert found.forward == "missing"


def test_what_follows_patches_is_normed_as_features(tmp_path: Path) -> None:
    network = Named(
        patch_embed=nn.Conv2d(3, 64, 16, 16),
        norm1=nn.LayerNorm(64),
        qkv=nn.Linear(64, 192),
        head=nn.Linear(64, 5),
    )
    _, made = drafted(network, tmp_path)
    assert isinstance(made.norm1, nn.LayerNorm)
    convolved = Named(conv=nn.Conv2d(3, 64, 3), norm1=nn.GroupNorm(32, 64), head=nn.Linear(64, 5))
    _, made = drafted(convolved, tmp_path)
    assert isinstance(made.norm1, nn.GroupNorm)


def test_a_long_first_table_is_an_embedding_and_a_short_one_a_layer(tmp_path: Path) -> None:
    table = Named(encoder=nn.Embedding(1000, 16), gru=nn.GRU(16, 8), decoder=nn.Linear(8, 1000))
    found, made = drafted(table, tmp_path)
    assert isinstance(made.encoder, nn.Embedding)
    assert any("which tables are Embedding" in clause for clause in found.unknown)
    _, made = drafted(Named(a=nn.Linear(16, 999, bias=False), b=nn.Linear(999, 3)), tmp_path)
    assert isinstance(made.a, nn.Linear)
    _, made = drafted(Named(fc=nn.Linear(512, 1000, bias=False)), tmp_path)
    assert isinstance(made.fc, nn.Linear)


def test_heads_beside_each_other_leave_the_outputs_open(tmp_path: Path) -> None:
    found, _ = drafted(Named(body=nn.Linear(8, 6), age=nn.Linear(6, 1), sex=nn.Linear(6, 2)), tmp_path)
    assert (found.forward, found.outputs) == ("missing", None)


def test_a_sequential_of_linear_layers_is_itself_again(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 10))
    found, made = drafted(network, tmp_path)
    assert (found.forward, found.input_shape, found.channels, found.outputs) == ("drafted", (64,), None, 10)
    assert isinstance(made, nn.Sequential)
    assert_same(network, made, torch.randn(5, 64))


def test_layers_under_names_are_called_as_saved_with_relu_between(tmp_path: Path) -> None:
    network = Named(fc1=nn.Linear(6, 8), bn=nn.BatchNorm1d(8), fc2=nn.Linear(8, 8), out=nn.Linear(8, 3))
    found, made = drafted(network, tmp_path)
    rows = torch.randn(4, 6)
    answers = assert_answers_rows_alone(made, rows)
    inner = network.eval()
    with torch.inference_mode():
        hidden = inner.bn(inner.fc1(rows)).relu()
        torch.testing.assert_close(answers, inner.out(inner.fc2(hidden).relu()))
    assert (found.forward, found.outputs) == ("drafted", 3)
    assert found.source.count("# confirm: ReLU") == 2
    assert any("ReLU" in clause for clause in found.unknown)


def test_flattened_maps_tell_their_size(tmp_path: Path) -> None:
    network = Named(
        conv1=nn.Conv2d(1, 6, 5),
        conv2=nn.Conv2d(6, 16, 5),
        fc1=nn.Linear(16 * 25, 120),
        fc2=nn.Linear(120, 9),
    )
    found, made = drafted(network, tmp_path)
    assert (found.forward, found.input_shape, found.channels, found.outputs) == ("drafted", None, 1, 9)
    assert "adaptive_avg_pool2d(x, 5).flatten(1)  # confirm: pooling; 16 channels of 5x5" in found.source
    assert any("5 positions a side" in clause for clause in found.unknown)
    assert assert_answers_rows_alone(made, torch.randn(3, 1, 28, 28)).shape == (3, 9)


def test_what_a_sequential_lacks_is_filled_in_the_usual_order(tmp_path: Path) -> None:
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
    )
    classifier = nn.Sequential(nn.Dropout(), nn.Linear(256, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 5))
    network = Named(features=features, classifier=classifier)
    found, made = drafted(network, tmp_path)
    rows = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        network.eval()
        wanted = classifier(features(rows).flatten(1))
        torch.testing.assert_close(made(rows), wanted)
    assert (found.forward, found.channels, found.outputs) == ("drafted", 3, 5)
    assert "nn.MaxPool2d(2),  # confirm: assumed" in found.source


def test_a_sequential_that_flattens_is_given_its_pool(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    found, made = drafted(network, tmp_path)
    assert found.forward == "drafted"
    assert_same(network, made, torch.randn(2, 1, 6, 6))


def test_a_gap_of_one_holds_both_pool_and_flatten(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 36, 2))
    found, made = drafted(network, tmp_path)
    assert_same(network, made, torch.randn(2, 1, 6, 6))
    assert found.source.count("nn.Sequential(") == 1


def test_an_autoencoder_goes_back_through_transposed_convolutions(tmp_path: Path) -> None:
    network = Named(
        encoder=nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3)),
        decoder=nn.Sequential(nn.ConvTranspose2d(16, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 1, 2, stride=2)),
    )
    found, made = drafted(network, tmp_path)
    assert (found.forward, found.channels, found.outputs) == ("drafted", 1, None)
    assert [type(made.decoder[at]).__name__ for at in (0, 2)] == ["ConvTranspose2d"] * 2
    assert assert_answers_rows_alone(made, torch.randn(2, 1, 12, 12)).dim() == 4


def test_features_become_maps_again_where_the_widths_say_so(tmp_path: Path) -> None:
    network = Named(project=nn.Linear(10, 32 * 49), up=nn.ConvTranspose2d(32, 3, 4, stride=2, padding=1))
    found, made = drafted(network, tmp_path)
    assert (found.forward, found.input_shape) == ("drafted", (10,))
    assert assert_answers_rows_alone(made, torch.randn(2, 10)).shape == (2, 3, 14, 14)


def test_a_list_of_layers_gets_its_activations_in_forward(tmp_path: Path) -> None:
    layers = nn.ModuleList([nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 1)])
    network = Named(layers=layers)
    found, made = drafted(network, tmp_path)
    rows = torch.randn(3, 2)
    assert found.forward == "drafted"
    with torch.inference_mode():
        wanted = layers[2](layers[1](layers[0](rows).relu()).relu())
        torch.testing.assert_close(made(rows), wanted)


@pytest.mark.parametrize("dims", [1, 3])
def test_convolutions_of_other_dimensions_chain_too(tmp_path: Path, dims: int) -> None:
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[dims]
    norm = {1: nn.BatchNorm1d, 3: nn.BatchNorm3d}[dims]
    network = Named(a=conv(2, 4, 3, padding=1), bn=norm(4), b=conv(4, 4, 1), fc=nn.Linear(4 * 2**dims, 3))
    found, made = drafted(network, tmp_path)
    assert (found.forward, found.channels, found.input_shape) == ("drafted", None, None)
    assert type(made.bn) is norm
    assert assert_answers_rows_alone(made, torch.randn(2, 2, *[6] * dims)).shape == (2, 3)


# What no chain tells


def missing(found: Draft, made: nn.Module) -> str:
    """The message of a forward that its owner has to write."""
    assert found.forward == "missing"
    assert "forward" in found.unknown[0]
    with pytest.raises(NotImplementedError) as raised:
        made(torch.zeros(1, 1))
    return str(raised.value)


def test_a_unet_is_left_to_its_owner_with_its_modules_listed(tmp_path: Path) -> None:
    network = Named(
        down1=nn.Conv2d(3, 8, 3), down2=nn.Conv2d(8, 16, 3), up1=nn.ConvTranspose2d(16, 8, 2, stride=2),
        merge=nn.Conv2d(16, 8, 3), out=nn.Conv2d(8, 1, 1),
    )  # fmt: skip
    found, made = drafted(network, tmp_path)
    told = missing(found, made)
    assert "down1 (Conv2d), down2 (Conv2d), up1 (ConvTranspose2d), merge (Conv2d), out (Conv2d)" in told
    assert found.channels == 3


def test_residual_blocks_share_a_class_and_wait_for_their_forward(tmp_path: Path) -> None:
    network = Named(
        conv1=nn.Conv2d(3, 8, 3),
        layer1=nn.Sequential(Residual(8, 8), Residual(8, 8)),
        layer2=nn.Sequential(Residual(8, 16), *(Residual(16, 16) for _ in range(4))),
        fc=nn.Linear(16, 7),
    )
    found, made = drafted(network, tmp_path)
    missing(found, made)
    assert (found.channels, found.outputs) == (3, 7)
    assert found.source.count("\nclass ") == 3
    assert "*(LayerBlock(in_channels=16) for _ in range(4))" in found.source
    assert type(made.layer2[0].downsample[0]) is nn.Conv2d
    with pytest.raises(NotImplementedError, match=r"write LayerBlock\.forward"):
        made.layer1[0](torch.zeros(1))


def test_blocks_that_differ_by_numbers_share_a_class_with_arguments(tmp_path: Path) -> None:
    blocks = {
        f"part{number}": Named(rnn=nn.LSTM(number, 4), fc=nn.Linear(4, number), **{"0": nn.Linear(5, 5)})
        for number in (1, 2, 3)
    }
    found, made = drafted(Named(**blocks), tmp_path)
    assert "class Part(nn.Module):" in found.source
    assert "def __init__(self, input_size: int) -> None:" in found.source
    assert "self.rnn = nn.LSTM(input_size, 4, batch_first=True)" in found.source
    assert "self.part3 = Part(input_size=3)" in found.source
    assert type(made.part1) is type(made.part3)


def test_blocks_that_differ_in_too_much_have_a_class_each(tmp_path: Path) -> None:
    sizes = [(1, 2, 3, 4, 5, 6, 7), (11, 12, 13, 14, 15, 16, 17)]
    blocks = {
        f"part{at}": Named(**{f"fc{size % 10}": nn.Linear(size, size * 2) for size in several})
        for at, several in enumerate(sizes)
    }
    found, made = drafted(Named(**blocks), tmp_path)
    assert found.source.count("\nclass ") == 3
    assert type(made.part0) is not type(made.part1)


def test_a_block_inside_blocks_is_one_class_for_all(tmp_path: Path) -> None:
    def block(width: int) -> nn.Module:
        return Named(
            inner=Named(q=nn.Linear(width, width), out=nn.Linear(width, width)), ln=nn.LayerNorm(width)
        )

    network = Named(blocks=nn.ModuleList([block(4), block(4), block(8)]), head=nn.Linear(8, 2))
    found, made = drafted(network, tmp_path)
    assert found.source.count("\nclass ") == 3
    assert (
        found.source.index("class Inner")
        < found.source.index("class Block")
        < found.source.index("class Network")
    )
    assert type(made.blocks[0].inner) is type(made.blocks[2].inner)


@pytest.mark.parametrize(
    "network",
    [
        Named(a=nn.Linear(4, 8), b=nn.Linear(9, 2)),  # widths that don't meet
        Named(conv=nn.Conv2d(1, 4, 3), fc=nn.Linear(4 * 6, 2)),  # no square has 6 positions
        Named(emb=nn.Embedding(50, 8), lstm=nn.LSTM(8, 16), fc=nn.Linear(16, 2)),
        Named(emb=nn.Embedding(50, 8), gru=nn.GRU(8, 16), fc=nn.Linear(16, 2)),
        Named(query=nn.Linear(4, 4), key=nn.Linear(4, 4), out=nn.Linear(4, 4)),
        Named(fc=nn.Linear(4, 4), skip=nn.Linear(4, 4), out=nn.Linear(4, 2)),
        Named(fc1=nn.Linear(9, 4), fc21=nn.Linear(4, 2), fc22=nn.Linear(4, 2), fc3=nn.Linear(2, 9)),
        nn.ModuleList([nn.Linear(4, 8), nn.Linear(4, 8)]),
        nn.TransformerEncoderLayer(8, 2, 16),
    ],
)
def test_other_networks_are_no_chain(tmp_path: Path, network: nn.Module) -> None:
    found, _ = drafted(network, tmp_path)
    assert found.forward == "missing"
    assert "forward" in found.unknown[0]


def test_what_isnt_run_in_one_line_is_no_chain_inside_either(tmp_path: Path) -> None:
    network = Named(stem=nn.Linear(4, 8), block=Named(a=nn.Linear(8, 16), b=nn.Linear(16, 8)))
    found, made = drafted(network, tmp_path)
    assert found.forward == "missing"  # block may add its input at the end
    assert isinstance(made.block, nn.Module)


# What the owner reads


def test_tied_and_half_tensors_are_told() -> None:
    table = torch.zeros(10, 4)
    state = {"embed.weight": table, "head.weight": table, "fc.weight": torch.zeros(3, 4).half()}
    unknown = " ".join(draft(state).unknown)
    assert "head.weight is embed.weight" in unknown
    assert "float16" in unknown
    alone = {name: one.float().clone() for name, one in state.items()}
    assert "tied" not in " ".join(draft(alone).unknown)


def test_the_file_is_named_unless_its_name_could_end_the_docstring() -> None:
    state = nn.Linear(2, 3).state_dict()
    assert "in cats-v2.pth, and load" in draft(state, "cats-v2.pth").source
    for hostile in ('a"""b.pth', "a\\", "a\nb", "x" * 300):
        assert "in the checkpoint, and load" in draft(state, hostile).source


def test_drafts_read_like_our_code(tmp_path: Path) -> None:
    long = "a_rather_long_name_for_a_layer_of_a_network_that_somebody_trained_long_ago"
    networks = [
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)),
        Named(conv=nn.Conv2d(1, 4, 3), bn=nn.BatchNorm2d(4), fc=nn.Linear(36, 2)),
        Named(
            layers=nn.ModuleList([Residual(8, 16), Residual(16, 16), Residual(16, 32)]), fc=nn.Linear(32, 2)
        ),
        Named(encoder=nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)),
        Named(**{long: nn.Linear(3, 3), "class": nn.Conv2d(3, 4, 3), "it's": nn.LSTM(3, 4, 2)}),
        nn.ParameterDict({"gamma": torch.zeros(3), "scale": torch.zeros(())}),
        models.efficientnet_b0(),
        models.vgg11_bn(num_classes=7),
    ]
    for number, network in enumerate(networks):
        (tmp_path / f"model{number}.py").write_text(draft(network.state_dict()).source)
    assert_reads_like_ours(tmp_path)


# Networks of the field


@pytest.mark.exhaustive
@pytest.mark.parametrize("builder", BUILDERS)
def test_any_network_of_torchvision_loads_strictly_into_its_draft(builder: str, tmp_path: Path) -> None:
    with WithoutWeights(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of googlenet's and inception's initial weights
        shapes = models.get_model(builder, weights=None).state_dict()
    state = {
        name: torch.zeros((), dtype=one.dtype, device="meta").expand(one.shape)
        for name, one in shapes.items()
    }
    found = draft(state)
    filled(found, state, tmp_path)
    assert found.channels == 3
    assert found.forward == ("drafted" if builder.startswith(("vgg", "alexnet")) else "missing")
