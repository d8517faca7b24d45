"""Checkpoint files -> state dicts: every format that training leaves, and nothing of it executed."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel

from handlers import checkpoint
from handlers.errors import BadCheckpoint

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-1.6"])
DEPRECATED_TORCHSCRIPT = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def save(value: object, path: Path, zipped: bool = True, protocol: int = 2) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


def assert_same(state: checkpoint.StateDict, wanted: checkpoint.StateDict) -> None:
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], value) for name, value in wanted.items())


def refusal(path: Path, key: str | None = None) -> str:
    with pytest.raises(BadCheckpoint) as refused:
        checkpoint.read(path, key)
    assert str(path) in refused.value.message
    assert refused.value.hint
    return str(refused.value)


# What training leaves


@FORMATS
def test_a_plain_state_dict_is_read_as_it_is(tmp_path: Path, zipped: bool) -> None:
    wanted = network().state_dict()
    assert_same(checkpoint.read(save(wanted, tmp_path / "w.pth", zipped)), wanted)


def test_safetensors_is_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    wanted = network().state_dict()
    for name in ("w.safetensors", "w.pth"):
        safetensors.torch.save_file(wanted, tmp_path / name)
        assert_same(checkpoint.read(tmp_path / name), wanted)


@FORMATS
@pytest.mark.parametrize("key", checkpoint.WEIGHT_KEYS)
def test_weights_are_found_under_the_usual_key_among_what_training_adds(
    tmp_path: Path, key: str, zipped: bool
) -> None:
    wanted = network().state_dict()
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2, 1, 3, 3)}}
    optimizer = {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]}  # Adam's
    saved = {"epoch": 3, "optimizer": optimizer, key: wanted, "best": torch.tensor(0.9)}
    assert_same(checkpoint.read(save(saved, tmp_path / "w.pth", zipped)), wanted)


@pytest.mark.parametrize("way", [("model", "state_dict"), ("ema", "module"), ("run7", "weights_of_net")])
def test_weights_are_found_one_level_deeper(tmp_path: Path, way: tuple[str, str]) -> None:
    wanted = network().state_dict()
    assert_same(checkpoint.read(save({way[0]: {way[1]: wanted}, "epoch": 1}, tmp_path / "w.pth")), wanted)


def test_two_sets_of_weights_are_refused_until_weights_key_names_one(tmp_path: Path) -> None:
    trained, averaged = network().state_dict(), nn.Linear(2, 2).state_dict()
    path = save({"model": trained, "ema": {"module": averaged, "decay": 0.9}}, tmp_path / "w.pth")
    told = refusal(path)
    assert "holds weights more than once, under model, ema.module" in told
    assert "handler.weights_key" in told
    assert_same(checkpoint.read(path, "model"), trained)
    assert_same(checkpoint.read(path, "ema.module"), averaged)


def test_a_weights_key_that_holds_a_dot_itself_is_found(tmp_path: Path) -> None:
    wanted = network().state_dict()
    assert_same(
        checkpoint.read(save({"net.best": wanted, "model": wanted}, tmp_path / "w"), "net.best"), wanted
    )


def test_a_weights_key_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    state = network().state_dict()
    path = save({"model": state, "ema": {"module": state, "decay": 0.9}}, tmp_path / "w.pth")
    assert "has no entry 'ema.modul'; handler.weights_key may be one of: model, ema.module" in refusal(
        path, "ema.modul"
    )
    assert "'ema.decay' is no state dict, but a float" in refusal(path, "ema.decay")
    assert "remove handler.weights_key" in refusal(save(state, tmp_path / "plain.pth"), "model")


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        AveragedModel,
        lambda inner: nn.DataParallel(nn.DataParallel(inner)),
        lambda inner: AveragedModel(nn.DataParallel(inner)),
    ],
    ids=["parallel", "averaged", "twice", "averaged-parallel"],
)
def test_the_names_that_wrappers_give_are_taken_off(wrap: Callable[[nn.Module], nn.Module]) -> None:
    inner = network()
    wrapped = wrap(inner).state_dict()
    assert wrapped.keys() != inner.state_dict().keys()
    assert_same(checkpoint.without_wrappers(wrapped), inner.state_dict())


@pytest.mark.parametrize(
    "name", ["_orig_mod.{}.{}", "module._orig_mod.{}.{}", "_orig_mod.module.{}.{}", "{}._orig_mod.{}"]
)
def test_the_names_that_compile_gives_are_taken_off(name: str) -> None:
    wanted = network().state_dict()
    compiled = {name.format(*key.split(".")): value for key, value in wanted.items()}
    assert_same(checkpoint.without_wrappers(compiled), wanted)


def test_names_without_wrappers_stay() -> None:
    state = {"module.a": torch.zeros(1), "b": torch.zeros(1), "n_averaged_more": torch.zeros(1)}
    assert checkpoint.without_wrappers(state).keys() == state.keys()


def test_weights_saved_on_a_gpu_are_read_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = network().state_dict()
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    for zipped in (True, False):
        path = save(wanted, tmp_path / f"{zipped}.pth", zipped)
        assert b"cuda:0" in path.read_bytes()
        assert_same(checkpoint.read(path), wanted)


@DEPRECATED_TORCHSCRIPT
def test_torchscript_is_told_from_weights(tmp_path: Path) -> None:
    torch.jit.trace(network().eval(), torch.zeros(1, 1, 3, 3), check_trace=False).save(
        str(tmp_path / "ts.pt")
    )
    assert checkpoint.is_torchscript(tmp_path / "ts.pt")
    assert not checkpoint.is_torchscript(save(network().state_dict(), tmp_path / "w.pth"))
    assert not checkpoint.is_torchscript(save(network().state_dict(), tmp_path / "old.pth", zipped=False))
    assert not checkpoint.is_torchscript(tmp_path / "missing.pth")


# What would execute


class Own(nn.Module):
    """Someone's own architecture."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)


@FORMATS
@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: {"model": model, "epoch": 1}])
def test_a_whole_pickled_model_is_refused_with_its_imports_and_the_way_out(
    tmp_path: Path, zipped: bool, wrap: Callable[[object], object]
) -> None:
    told = refusal(save(wrap(Own()), tmp_path / "w.pth", zipped))
    assert f"would import and run {__name__}.Own" in told
    assert "torch.nn.modules.linear.Linear" in told
    assert "nothing of it was executed" in told
    assert "torch.save(model.state_dict(), 'weights.pth')" in told


class Runs:
    """Pickles as what `__reduce__` or `__setstate__` execute on loading."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["path"]).touch()


class Reduces:
    """Pickles as a call of os.system."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.path}",)


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def short(value: str) -> bytes:
    return b"\x8c" + len(value).to_bytes(1, "little") + value.encode()


PAYLOADS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "reduce": (lambda path: pickle.dumps(Reduces(path), 2), "posix.system"),
    "reduce-4": (lambda path: pickle.dumps(Reduces(path), 4), "posix.system"),
    "setstate": (lambda path: pickle.dumps(Runs(path), 2), f"{__name__}.Runs"),
    "global": (lambda path: b"\x80\x02cos\nsystem\n" + text(f"touch {path}") + b"\x85R.", "os.system"),
    "stack-global": (
        lambda path: (
            b"\x80\x04" + short("os") + short("system") + b"\x93" + text(f"touch {path}") + b"\x85R."
        ),
        "os.system",
    ),
    "stack-global-memoized": (
        lambda path: (
            b"\x80\x04" + short("os") + b"\x940" + short("system") + b"\x940" + short("decoy") + b"0"
            b"h\x00h\x01\x93" + text(f"touch {path}") + b"\x85R."
        ),
        "os.system",
    ),
    "inst": (lambda path: b"\x80\x02(" + text(f"touch {path}") + b"ios\nsystem\n.", "os.system"),
    "obj": (lambda path: b"\x80\x02(cos\nsystem\n" + text(f"touch {path}") + b"o.", "os.system"),
    "eval": (
        lambda path: b"\x80\x02cbuiltins\neval\n" + text(f"open({path!r}, 'w').close()") + b"\x85R.",
        "builtins.eval",
    ),
    "eval-of-python-2": (
        lambda path: b"\x80\x02c__builtin__\neval\n" + text(f"open({path!r}, 'w').close()") + b"\x85R.",
        "__builtin__.eval",
    ),
}


def in_zip(payload: bytes) -> bytes:
    saved = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, saved)
    poisoned = io.BytesIO()
    with zipfile.ZipFile(saved) as good, zipfile.ZipFile(poisoned, "w") as bad:
        for entry in good.namelist():
            bad.writestr(entry, payload if entry.endswith("data.pkl") else good.read(entry))
    return poisoned.getvalue()


def before_1_6(payload: bytes) -> bytes:
    saved = io.BytesIO()
    torch.save(None, saved, _use_new_zipfile_serialization=False)
    content = saved.getvalue()
    nothing, no_keys = pickle.dumps(None, 2), pickle.dumps([], 2)
    assert content.endswith(nothing + no_keys)
    return content.removesuffix(nothing + no_keys) + payload + no_keys


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("form", [in_zip, before_1_6, bytes], ids=["zip", "before-1.6", "bare-pickle"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_malicious_pickle_is_refused_by_name_and_never_executed(
    tmp_path: Path, payload: str, form: Callable[[bytes], bytes]
) -> None:
    build, name = PAYLOADS[payload]
    path, trace = tmp_path / "w.pth", tmp_path / "executed"
    path.write_bytes(form(build(str(trace))))
    assert f"would import and run {name} " in refusal(path)
    assert not checkpoint.is_torchscript(path)
    assert not trace.exists()
    pickle.loads(build(str(trace)))
    assert trace.exists()  # the payload does work, where it is let


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@FORMATS
def test_a_pickle_protocol_that_torch_cannot_read_safely_is_refused_with_the_reason(
    tmp_path: Path, zipped: bool
) -> None:
    told = refusal(save(network().state_dict(), tmp_path / "w.pth", zipped, protocol=4))
    assert "Unsupported operand" in told
    assert "pickle_protocol" in told
    assert "weights_only" not in told  # torch's own message advises to switch it off


# What is no checkpoint


def zip_of(**entries: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, value in entries.items():
            archive.writestr(name, value)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a checkpoint, but empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "is not a checkpoint, but a web page"),
        (b"\n<html>Not found</html>", "is not a checkpoint, but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer (run `git lfs pull`)"),
        (zip_of(readme="hello"), "is a zip archive without a checkpoint, or cut short"),
        (b"PK\x03\x04", "is a zip archive without a checkpoint, or cut short"),
        (b"\x89PNG\r\n\x1a\n", r"is not a checkpoint, but something that begins with b'\x89PNG\r\n\x1a\n'"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "can't be read as safetensors"),
        (b"\x80", "can't be read"),
        (pickle.dumps([1, 2], 2), "can't be read"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_for_what_it_is(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    assert message in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"epoch": 1, "loss": 0.5},
            "holds no state dict, but a mapping of 2 entries ('epoch': int, 'loss': f",
        ),
        ([torch.zeros(2)], "holds no state dict, but a list"),
        (torch.zeros(2), "holds no state dict, but a Tensor"),
        ({}, "holds no state dict, but a mapping of 0 entries"),
        ({"loss": torch.tensor(0.5)}, "holds no state dict, but a mapping of 1 entries"),
    ],
)
def test_a_checkpoint_without_weights_is_refused_for_what_it_holds(
    tmp_path: Path, value: object, message: str
) -> None:
    assert message in refusal(save(value, tmp_path / "w.pth"))


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    assert "can't be read (No such file or directory)" in refusal(tmp_path / "w.pth")
    assert "can't be read (Is a directory)" in refusal(tmp_path)


def content_of(form: str) -> bytes:
    saved = io.BytesIO()
    if form == "safetensors":
        return safetensors.torch.save(network().state_dict())
    torch.save(network().state_dict(), saved, _use_new_zipfile_serialization=form == "zip")
    return saved.getvalue()


CONTENTS = {form: content_of(form) for form in ("zip", "before-1.6", "safetensors")}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A checkpoint cut short, or with some bits turned over, mostly where its structure stands."""
    content = bytearray(CONTENTS[draw(st.sampled_from(sorted(CONTENTS)))])
    if draw(st.booleans()):
        return bytes(content[: draw(st.integers(0, len(content) - 1))])
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


@settings(max_examples=300, deadline=None)
@given(damaged() | st.binary(max_size=40).map(lambda rest: b"PK\x03\x04" + rest) | st.binary(max_size=40))
def test_a_damaged_checkpoint_is_refused_or_gives_tensors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    path.unlink(missing_ok=True)  # a new file: the old one may still be mapped
    path.write_bytes(content)
    try:
        state: object = checkpoint.read(path)
    except BadCheckpoint as refused:
        state = refused
    if isinstance(state, dict):
        assert all(isinstance(value, torch.Tensor) for value in state.values())
    else:
        assert str(path) in str(state)
    checkpoint.is_torchscript(path)


def test_densenets_from_before_0_4_get_the_names_of_today() -> None:
    """As torchvision's published files have them; nothing else that resembles them is touched."""
    old = [
        "features.denseblock1.denselayer12.norm.1.weight",
        "features.denseblock1.denselayer12.conv.2.weight",
    ]
    kept = ["features.norm0.weight", "norm.1.weight", "denselayer1.norm.3.weight"]
    found = checkpoint.without_wrappers({name: torch.ones(1) for name in [*old, *kept]})
    assert list(found) == [
        "features.denseblock1.denselayer12.norm1.weight",
        "features.denseblock1.denselayer12.conv2.weight",
        *kept,
    ]


def test_what_training_put_among_the_weights_is_left_out(tmp_path: Path) -> None:
    weights = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.ones(2)}
    torch.save({**weights, "epoch": 3, "classes": ["cat", "dog"]}, tmp_path / "w.pth")
    assert list(checkpoint.read(tmp_path / "w.pth")) == list(weights)


@pytest.mark.parametrize(
    "saved",
    [
        {"loss": torch.ones(2), "epoch": 3},
        {"val.loss": torch.ones(2), "epoch": 3},
        {"a.b": torch.ones(2), "c.d": torch.ones(2), "epoch": 3, "lr": 0.1, "best": 1},
    ],
)
def test_a_few_tensors_among_metrics_are_no_weights(saved: dict[str, object]) -> None:
    assert not checkpoint.is_state_dict(saved)
