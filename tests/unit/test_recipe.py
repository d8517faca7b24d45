"""recipe.yaml -> structs: what is refused, and whether the message tells an owner what to change."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import recipe
from handlers.errors import BadRecipe
from handlers.recipe import structs

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / "models").glob("*/recipe.yaml"))
PATH = Path("models/cat/recipe.yaml")

VALID = """\
minWorkers: 1
maxWorkers: 2
batchSize: 8
maxBatchDelay: 1
responseTimeout: 30
maxRetryTimeoutInSec: 10
handler:
  name: cat
  version: "1.0"
  task: classify
  architecture: {class: model.py:Net, args: {num_classes: 3}}
  weights: weights.pth
  input:
    - {kind: image, mode: RGB, resize: 28, crop: [28, 28], mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
    - {kind: tensor, shape: [3, 28, 28]}
  output: {labels: labels.txt, top_k: 3}
  samples: [{input: samples/cat.png, expect: samples/cat.npy, tolerance: {absolute: 0.01}}]
"""


def changed(keys: str, value: object) -> str:
    """VALID with the value at a dotted path replaced (or, for `...`, left out)."""
    tree = yaml.safe_load(VALID)
    *way, last = [int(key) if key.isdigit() else key for key in keys.split(".")]
    part = tree
    for key in way:
        part = part[key]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return yaml.safe_dump(tree, sort_keys=False)


def refusal(text: str) -> str:
    with pytest.raises(BadRecipe) as refused:
        recipe.parse(text, PATH)
    return str(refused.value)


def test_every_key_of_a_valid_recipe_arrives() -> None:
    parsed = recipe.parse(VALID, PATH)
    assert (parsed.min_workers, parsed.max_workers, parsed.batch_size) == (1, 2, 8)
    assert (parsed.max_batch_delay, parsed.response_timeout, parsed.max_retry_timeout_in_sec) == (1, 30, 10)
    model = parsed.handler
    assert model.architecture == recipe.Architecture(class_="model.py:Net", args={"num_classes": 3})
    image, tensor = model.image_input(), model.tensor_input()
    assert image is not None
    assert (image.resize, image.crop, image.mean) == (28, [28, 28], [0.5, 0.5, 0.5])
    assert tensor == recipe.TensorInput(shape=[3, 28, 28])
    assert model.output == recipe.Output(labels="labels.txt", top_k=3)
    assert model.samples[0].tolerance == recipe.Tolerance(absolute=0.01)
    assert [name for _, name in parsed.file_names()] == [
        "model.py",
        "labels.txt",
        "weights.pth",
        "samples/cat.png",
        "samples/cat.npy",
    ]


def test_a_minimal_recipe_has_defaults_for_what_registering_needs() -> None:
    text = "handler: {name: a, version: '1', task: tensor, weights: w.pth, input: {kind: tensor, shape: [3]}}"
    parsed = recipe.parse(text, PATH)
    assert (parsed.batch_size, parsed.workers, parsed.most_workers) == (1, 1, 1)
    assert (parsed.max_batch_delay, parsed.response_timeout, parsed.startup_timeout) == (1, 120, 120)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_the_recipes_of_models_load_under_their_folders_name(path: Path) -> None:
    assert recipe.load(path.parent).handler.name == path.parent.name


def test_there_are_recipes_in_models() -> None:
    assert len(MODELS) >= 6


NAME = "must be 1 to 100 letters, digits, '_', '.' or '-', no blanks, quoted if like a number"

WRONG_VALUES: list[tuple[str, object, str]] = [
    # TorchServe's half
    ("batchSize", "eight", "batchSize is 'eight'; must be a whole number of at least 1 and of at most 1024"),
    ("batchSize", 0, "batchSize is 0; must be a whole number of at least 1 and of at most 1024"),
    ("batchSize", 1025, "batchSize is 1025; must be a whole number of at least 1 and of at most 1024"),
    ("batchSize", 8.5, "batchSize is 8.5; must be a whole number"),
    ("batchSize", True, "batchSize is True; must be a whole number"),
    ("batchSize", None, "batchSize is None; must be a whole number"),
    ("maxBatchDelay", -1, "maxBatchDelay is -1; must be a whole number of at least 0"),
    ("minWorkers", 0, "minWorkers is 0; must be a whole number of at least 1"),
    ("responseTimeout", "30", "responseTimeout is '30'; must be a whole number of at least 1"),
    ("deviceType", "tpu", "deviceType is 'tpu'; must be one of 'cpu', 'gpu'"),
    ("deviceIds", [0, -1], "deviceIds[1] is -1; must be a whole number of at least 0"),
    ("minWorkers", 3, "minWorkers is 3, above maxWorkers (2); raise maxWorkers or lower minWorkers"),
    ("maxWorkers", ..., "minWorkers is given without maxWorkers, which TorchServe ignores; give both"),
    ("minWorkers", ..., "maxWorkers is given without minWorkers, which TorchServe ignores; give both"),
    # ours
    ("handler", ..., "the file lacks the key 'handler'; add it"),
    ("handler", "cat", "handler is 'cat'; must be a mapping"),
    ("handler.name", ..., "handler lacks the key 'name'; add it"),
    ("handler.name", 7, f"handler.name is 7; {NAME}"),
    ("handler.name", "../cat", f"handler.name is '../cat'; {NAME}"),
    ("handler.name", "cat\n", rf"handler.name is 'cat\n'; {NAME}"),
    ("handler.name", "a" * 101, NAME),
    ("handler.version", 1.0, f"handler.version is 1.0; {NAME}"),
    ("handler.task", "clasify", "handler.task is 'clasify'; must be classify, regress, tensor, or 'task.py"),
    ("handler.weights", ["a.pth"], "handler.weights is ['a.pth']; must be text (in quotes)"),
    (
        "handler.runtime",
        "tensorrt",
        "handler.runtime is 'tensorrt'; must be one of 'auto', 'compile', 'eager'",
    ),
    (
        "handler.precision",
        "int4",
        "handler.precision is 'int4'; must be one of 'bfloat16', 'float32', 'int8'",
    ),
    (
        "handler.architecture",
        {},
        "handler.architecture names not one way to build; give one of class, factory",
    ),
    ("handler.architecture.torchvision", "resnet18", "give one of class, factory and torchvision"),
    ("handler.architecture.class", "model:Net", "class is 'model:Net'; must be 'FILE.py:CLASS'"),
    ("handler.architecture.args", {1: 2}, "architecture.args has the key 1; must be text (in quotes)"),
    ("handler.input", [], "handler.input is []; must be a list of 1 to 2 or a mapping"),
    ("handler.input", {"kind": "sound"}, "handler.input.kind is 'sound'; must be one of 'image'"),
    ("handler.input.0.kind", ..., "handler.input[0] lacks the key 'kind'; add it"),
    ("handler.input.0.resize", [1, 2, 3], "input[0].resize is [1, 2, 3]; must be a whole number of at least"),
    ("handler.input.0.std", [1, 1, 0], "handler.input[0].std[2] is 0; must be a number above 0"),
    ("handler.input.0.std", ..., "handler.input has only one of mean and std; give both or neither"),
    ("handler.input.0.mean", [0.5], "handler.input.mean has 1 values; must be 3, one for each"),
    ("handler.input.0.mean", [float("inf")] * 3, "handler.input.mean is [inf, inf, inf]; must be finite"),
    ("handler.input.0.interpolation", "cubic", "must be one of 'bicubic', 'bilinear', 'nearest'"),
    ("handler.input.1.shape", [], "handler.input[1].shape is []; must be a list of 1 to 7"),
    ("handler.input.1", {"kind": "image"}, "handler.input lists a kind twice; give each kind"),
    (
        "handler.input.1",
        {"kind": "tensor", "shape": [4], "dtype": "int64", "mean": 0.0, "std": 1.0},
        "handler.input normalises int64; mean and std are for float32",
    ),
    ("handler.output.top_k", 0, "handler.output.top_k is 0; must be a whole number of at least 1"),
    ("handler.output.names", ["a"], "handler.output.names means nothing to the task classify; remove it"),
    ("handler.samples.0.expect", {"a": 1}, "expect is {'a': 1}; must be text (in quotes) or a list, each"),
    ("handler.samples.0.tolerance.absolute", -1, "tolerance.absolute is -1; must be a number of at least 0"),
    ("handler.source", {"package": "a", "version": "1", "member": "w", "sha256": "0"}, "64 hexadecimal d"),
]


@pytest.mark.parametrize(("keys", "value", "message"), WRONG_VALUES)
def test_a_wrong_value_is_refused_with_file_key_and_remedy(keys: str, value: object, message: str) -> None:
    told = refusal(changed(keys, value))
    assert told.startswith("models/cat/recipe.yaml: ")
    assert message in told


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("batchsize", "unknown key 'batchsize'; did you mean 'batchSize'?"),
        ("batch_size", "unknown key 'batch_size'; did you mean 'batchSize'?"),
        ("maxWorker", "unknown key 'maxWorker'; did you mean 'maxWorkers'?"),
        ("colour", "unknown key 'colour'; remove it"),
        ("name", "unknown key 'name'; it belongs under handler"),
        ("handler.batchSize", "unknown key 'handler.batchSize'; it belongs at the top of the file"),
        ("handler.weight", "unknown key 'handler.weight'; did you mean 'weights'?"),
        ("handler.output.topk", "unknown key 'handler.output.topk'; did you mean 'top_k'?"),
        ("handler.input.0.normalise", "unknown key 'handler.input[0].normalise'; remove it"),
        ("handler.samples.0.expected", "unknown key 'handler.samples[0].expected'; did you mean 'expect'?"),
        ("handler.samples.0.tolerance.rel", "unknown key 'handler.samples[0].tolerance.rel'"),
        ("handler.architecture.arg", "unknown key 'handler.architecture.arg'; did you mean 'args'?"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_likely_meant(keys: str, message: str) -> None:
    assert message in refusal(changed(keys, 1))


@pytest.mark.parametrize(
    "name", ["../w.pth", "a/../../w.pth", "/etc/passwd", "", ".", "./", "..", "a\\b", "\\\\host\\w.pth"]
)
@pytest.mark.parametrize(
    "keys", ["handler.weights", "handler.output.labels", "handler.samples.0.input", "handler.files"]
)
def test_a_path_that_leaves_the_folder_is_refused(keys: str, name: str) -> None:
    told = refusal(changed(keys, [name] if keys == "handler.files" else name))
    assert f" is {name!r}; must be a path inside the model's folder" in told


@pytest.mark.parametrize(("name", "written"), [("./w.pth", "w.pth"), ("a//w.pth", "a/w.pth"), ("a/", "a")])
def test_a_path_is_written_in_one_way_alone(name: str, written: str) -> None:
    assert f"handler.weights is {name!r}; write {written!r}" in refusal(changed("handler.weights", name))


@pytest.mark.parametrize("keys", ["handler.architecture.class", "handler.task"])
def test_a_class_from_outside_the_folder_is_refused(keys: str) -> None:
    assert f"{keys} is '../model.py'; must be a path inside" in refusal(changed(keys, "../model.py:Net"))


@pytest.mark.parametrize("name", ["handlers/w.pth", "entry.py", "seal.json", "MAR-INF/x"])
def test_a_name_that_an_archive_takes_for_itself_is_refused(name: str) -> None:
    told = refusal(changed("handler.weights", name))
    assert f"handler.weights is {name!r}" in told
    assert "choose another name" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchSize: 1\nbatchSize: 2\n", "the key 'batchSize' is given twice"),
        ("handler: {name: a, name: b}", "the key 'name' is given twice"),
        ("handler: [1", "not valid YAML: "),
        ("\thandler: 1", "not valid YAML: "),
        ("handler: a\x00b", "not valid YAML: "),
        ("--- {}\n--- {}", "not valid YAML: "),
        ("handler: !!python/object/apply:os.getcwd []", "not valid YAML: "),
        ("handler: !!bool maybe", "not valid YAML: KeyError"),
        ("handler: !!int ''", "not valid YAML: IndexError"),
        ("handler: !!timestamp soon", "not valid YAML: AttributeError"),
        ("handler: " + "[" * 500, "not valid YAML: RecursionError"),
        ("handler: " + "9" * 5000, "not valid YAML: ValueError"),
        ("? [a]\n: 1", "unhashable key"),
        ("? {a: 1}\n: 1", "unhashable key"),
        ("", "holds no mapping; it needs at least the key 'handler'"),
        ("- handler", "holds no mapping"),
        ("1: 2", "the file has the key 1; must be text (in quotes)"),
        ("handler: {2: 3}", "handler has the key 2; must be text (in quotes)"),
        ('batchSize: "\\ud800"\nhandler: {}', "write it without anchors and escapes"),
    ],
)
def test_text_that_is_no_recipe_is_refused(text: str, message: str) -> None:
    told = refusal(text)
    assert told.startswith(f"{PATH}: ")
    assert message in told


def test_a_key_given_twice_is_placed_by_its_line() -> None:
    assert "line 2, column 1" in refusal("batchSize: 1\nbatchSize: 2\n")


def test_a_number_that_python_does_not_print_is_refused() -> None:
    told = refusal(VALID.replace("batchSize: 8", f"batchSize: 0x1{'0' * 5000}"))
    assert "batchSize is a number too long to print; must be a whole number of at least 1" in told


def test_a_long_value_is_shortened_in_the_message() -> None:
    assert len(refusal(changed("batchSize", "x" * 10_000))) < 250


def test_a_folder_without_a_recipe_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"recipe\.yaml: not found"):
        recipe.load(tmp_path)


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(BadRecipe, match="save it as UTF-8 text"):
        recipe.load(tmp_path)


def test_files_that_the_folder_lacks_are_named_with_key_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(VALID)
    for name in ("model.py", "labels.txt", "weights.pth"):
        (tmp_path / name).touch()
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "cat.npy").mkdir()  # a folder isn't the file
    missing = recipe.missing_files(recipe.load(tmp_path), tmp_path)
    assert missing == [
        ("handler.samples[0].input", "samples/cat.png"),
        ("handler.samples[0].expect", "samples/cat.npy"),
    ]
    assert str(recipe.not_found(tmp_path, *missing[0])) == (
        f"{tmp_path}/recipe.yaml: handler.samples[0].input is 'samples/cat.png'; the file isn't there; "
        f"put it into {tmp_path}"
    )


def test_nothing_that_was_parsed_can_be_changed() -> None:
    parsed = recipe.parse(VALID, PATH)
    with pytest.raises(AttributeError):
        parsed.handler.name = "dog"  # type: ignore[misc]


# Any file at all

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
KEYS = (
    st.sampled_from(["handler", "batchSize", "input", "kind", "args", "mean"])
    | st.text(max_size=9)
    | st.integers()
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def parse_or_refuse(text: str) -> None:
    try:
        parsed: object = recipe.parse(text, PATH)
    except BadRecipe as refused:
        parsed = refused
    assert isinstance(parsed, recipe.Recipe) or str(parsed).startswith(f"{PATH}: ")


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_any_tree_is_a_recipe_or_a_bad_recipe(tree: object) -> None:
    parse_or_refuse(yaml.safe_dump(tree))


@settings(max_examples=150, deadline=None)
@given(st.text() | st.text(alphabet="a1:-[]{}&*!|>'\"#%@,?<= \n\t").map(lambda text: f"handler:{text}"))
def test_any_text_is_a_recipe_or_a_bad_recipe(text: str) -> None:
    parse_or_refuse(text)


def places(tree: Any) -> Iterator[list[str | int]]:
    """The way to every value of a tree."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else []
    for key, value in inner:
        yield [key]
        yield from ([key, *rest] for rest in places(value))


TREE = yaml.safe_load(VALID)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(places(TREE))), TREES)
def test_a_valid_recipe_with_one_value_changed_is_a_recipe_or_a_bad_recipe(
    way: list[Any], value: Any
) -> None:
    tree = copy.deepcopy(TREE)
    part = tree
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = value
    parse_or_refuse(yaml.safe_dump(tree))


# The schema for editors


def test_the_schema_has_the_keys_of_the_structs_and_refuses_all_others() -> None:
    definitions = recipe.schema()["$defs"]
    for kind in (structs.Recipe, structs.Model, structs.Architecture, structs.Output, structs.Sample):
        definition = definitions[kind.__name__]
        assert set(definition["properties"]) == set(kind.__struct_encode_fields__)
        assert definition["additionalProperties"] is False
    for kind in (structs.ImageInput, structs.TensorInput):
        assert set(definitions[kind.__name__]["properties"]) == {"kind", *kind.__struct_encode_fields__}


def test_the_schema_is_json_and_its_keys_are_those_of_the_recipes_in_models() -> None:
    definitions = json.loads(msgspec.json.encode(recipe.schema()))["$defs"]
    known = {key for definition in definitions.values() for key in definition["properties"]}
    for path in MODELS:
        tree = yaml.safe_load(path.read_text())
        assert set(tree) <= set(definitions["Recipe"]["properties"])
        assert set(tree["handler"]) <= set(definitions["Model"]["properties"]) <= known
        assert set(definitions["Model"]["required"]) <= set(tree["handler"])


def test_a_recipe_written_back_is_the_same_recipe() -> None:
    parsed = recipe.parse(VALID, PATH)
    assert recipe.parse(yaml.safe_dump(msgspec.to_builtins(parsed)), PATH) == parsed


@pytest.mark.parametrize(
    ("sample", "assumed"),
    [
        ({}, ["input", "output"]),
        ({"expect": "a.npy"}, ["output"]),
        ({"expect": [0.5]}, []),
        ({"expect": "seven"}, ["input"]),
        ({"expect": "a.npy", "label": "seven"}, []),
    ],
)
def test_what_is_assumed_is_proven_by_what_the_owners_code_gave(
    sample: dict[str, object], assumed: list[str]
) -> None:
    held = msgspec.convert({"input": "a.png", **sample}, recipe.Sample)
    model = recipe.Model(
        "a", "1", "classify", "a.pth", recipe.ImageInput(), assumed=["input", "output"], samples=[held]
    )
    assert model.assumptions == assumed


def test_half_a_character_is_refused() -> None:
    r"""As json.dumps writes an emoji, "\ud83d\ude00": YAML makes two halves of it, which nobody can send."""
    text = (ROOT / "models" / "diabetes" / "recipe.yaml").read_text(encoding="utf-8")
    text = text.replace("  task: regress", '  description: "\\ud83d\\ude00"\n  task: regress').replace(
        text[text.index("  description: >-") : text.index("  task: regress")], ""
    )
    with pytest.raises(BadRecipe, match="surrogates not allowed"):
        recipe.parse(text, Path("recipe.yaml"))
