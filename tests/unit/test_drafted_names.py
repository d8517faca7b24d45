"""Names from a file meet Python: they are kept to the letter, nothing of them runs, or they are refused."""

import ast
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from handlers.errors import BadCheckpoint
from scripts.drafting.drafting import draft
from scripts.drafting.names import LONGEST, class_name, plain
from scripts.drafting.tree import DEEPEST, MOST
from tests.drafted import filled

CALLED = {
    "__init__",
    "Parameter",
    "add_module",
    "get_submodule",
    "range",
    "register_buffer",
    "super",
    "zeros",
}
CALLED |= {"register_parameter", "NotImplementedError", "relu", "flatten", "unflatten"}

STEPS = st.one_of(
    st.sampled_from(
        ["0", "1", "2", "7", "fc", "conv", "bn", "layers", "norm", "self_attn", "weight", "bias"]
    ),
    st.sampled_from(
        ["class", "__x", "Network", "F", "nn", "x", "self", "01", "100000", "out_proj", "lambda"]
    ),
    st.text(min_size=1, max_size=6),
)
LEAVES = st.one_of(
    st.sampled_from(["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "weight_g"]),
    st.sampled_from(["weight_v", "in_proj_weight", "weight_ih_l0", "weight_hh_l0", "weight_ih", "weight_hh"]),
    STEPS,
)
NAMES = st.builds(lambda steps, leaf: ".".join([*steps, leaf]), st.lists(STEPS, max_size=3), LEAVES)
TENSORS = st.builds(
    lambda shape, dtype: torch.zeros(shape, dtype=dtype),
    st.lists(st.integers(0, 6), max_size=5),
    st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64]),
)


def assert_harmless(source: str) -> None:
    """The text calls nothing but layers, classes of its own and what the templates write."""
    tree = ast.parse(source)
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    kinds = (ast.Expr, ast.Import, ast.ImportFrom, ast.ClassDef)
    assert all(isinstance(node, kinds) for node in tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            module_call = isinstance(node.func, ast.Attribute) and ast.unparse(node.func).startswith(
                ("nn.", "F.")
            )
            own_call = isinstance(node.func, ast.Attribute | ast.Subscript | ast.Call) and ast.unparse(
                node.func
            ).startswith("self.")
            assert called in CALLED | classes or module_call or own_call, ast.unparse(node)


@pytest.mark.parametrize(
    "name",
    [
        'x"); open("ESCAPED", "w"); ("',
        "x'); open('ESCAPED', 'w'); ('",
        '"""\nopen("ESCAPED", "w")\n"""',
        'x\nopen("ESCAPED", "w")',
        'x # \r\nopen("ESCAPED", "w")',
        "x\\",
        "x\\\"); open('ESCAPED', 'w') #",
        "{open('ESCAPED', 'w')}",
        "x = open('ESCAPED', 'w')",
        "\u2028open('ESCAPED', 'w')",
        "ﬁ",  # Unicode folds it into "fi"
        "层",
        "lambda",
        "__mangled",
        "1st",
        "layer-1",
        " ",
        "\x00",
        "\x1b[31m",
        "\ud800",
    ],
)
@pytest.mark.parametrize("pattern", ["{}.weight", "{}", "a.{}.0.weight", "a.{}.b.{}", "{}.0.x"])
def test_hostile_names_are_kept_and_run_nothing(
    name: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = name.replace(".", ",")
    state = {
        pattern.format(name, name): torch.ones(2, 2),
        "fc.weight": torch.ones(3, 2),
        "fc.bias": torch.ones(3),
    }
    found = draft(state, name)
    assert_harmless(found.source)
    (tmp_path / "model").mkdir()
    made = filled(found, state, tmp_path / "model")
    assert made.state_dict().keys() == state.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("forward.weight", "attribute of every nn.Module"),
        ("a.type.weight", "attribute of every nn.Module"),
        ("training", "attribute of every nn.Module"),
        ("a.__class__.b", "attribute of every nn.Module"),
        ("a..weight", "is no name"),
        ("", "is no name"),
        ("a.", "is no name"),
        ("a." * DEEPEST + "weight", "deep"),
        ("." * 900, "deep"),
        ("." * 10_000, "characters"),
        ("x" * (LONGEST + 1), "characters"),
        ("x" * 10_000_000, "characters"),
    ],
)
def test_names_that_no_network_can_have_are_refused_in_a_line(name: str, why: str) -> None:
    with pytest.raises(BadCheckpoint) as refused:
        draft({"fc.weight": torch.ones(2, 2), name: torch.ones(2)})
    assert why in refused.value.message
    assert len(refused.value.message) < 300
    assert refused.value.message.isprintable()
    assert refused.value.hint


@pytest.mark.parametrize("names", [("a", "a.b"), ("a.b", "a"), ("x.a.b.c", "x.a.b")])
def test_a_tensor_is_no_module_too(names: tuple[str, str]) -> None:
    with pytest.raises(BadCheckpoint, match="a tensor and a module at once"):
        draft({name: torch.ones(2) for name in names})


def test_the_deepest_nesting_still_works(tmp_path: Path) -> None:
    state = {"a." * (DEEPEST - 1) + "weight": torch.ones(2, 2)}
    assert filled(draft(state), state, tmp_path).state_dict().keys() == state.keys()


def test_numbers_far_apart_are_names_and_no_positions(tmp_path: Path) -> None:
    state = {f"a.{number}.b.{number}.weight": torch.ones(2, 2) for number in (0, 900_000, 5)}
    assert filled(draft(state), state, tmp_path).state_dict().keys() == state.keys()
    assert len(draft(state).source) < 5_000


def test_rows_are_in_numeric_order_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    whole = nn.Sequential(*(nn.Linear(size, size + 1) for size in range(2, 14))).state_dict()
    state = {name: whole[name] for name in sorted(whole)}  # 0, 1, 10, 11, 2...
    made = filled(draft(state), state, tmp_path)
    assert [layer.in_features for layer in made] == list(range(2, 14))


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation:UserWarning")
def test_no_tensors_too_many_and_those_of_other_layouts_are_refused() -> None:
    with pytest.raises(BadCheckpoint, match="no tensors"):
        draft({})
    one = torch.ones(1)
    with pytest.raises(BadCheckpoint, match="too many"):
        draft({f"a{number}": one for number in range(MOST + 1)})
    with pytest.raises(BadCheckpoint, match="sparse_coo"):
        draft({"a": torch.ones(2, 2).to_sparse()})
    with pytest.raises(BadCheckpoint, match="quantized"):
        draft({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, TENSORS, min_size=1, max_size=8))
def test_whatever_the_names_and_shapes_it_loads_strictly_or_is_refused(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    try:
        found = draft(state)
    except BadCheckpoint:
        return
    assert_harmless(found.source)
    made = filled(found, state, tmp_path)
    assert made.state_dict().keys() - state.keys() <= {
        name for name in made.state_dict() if name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("encoder", "Encoder"),
        ("blocks.0", "Block"),
        ("layers.3", "Layer"),
        ("layer1.0", "LayerBlock"),
        ("features.1.conv", "Conv"),
        ("my_long-name", "MyLongName"),
        ("none", "None2"),
        ("exception", "Exception2"),
        ("network", "Network2"),
        ("层", "Block"),
        ("0", "Block"),
        ("3d", "Block3D"),
    ],
)
def test_classes_are_named_for_their_place(path: str, name: str) -> None:
    assert class_name(path, set()) == name


def test_a_class_name_is_given_once() -> None:
    assert class_name("a.block", {"Block", "Block2"}) == "Block3"
    assert class_name("a.layer1", {"Layer1"}) == "Layer1v2"


def test_comments_hold_nothing_that_could_end_them() -> None:
    assert plain('a"""\n\\b') == "a?????b"
    assert plain("a.b-c_9") == "a.b-c_9"
    assert len(plain("x" * 500)) == 60
