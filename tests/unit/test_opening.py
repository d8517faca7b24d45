"""Checkpoints in every form -> Opened: the same tensors as torch gives, and nothing executed."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._export.serde.schema import ScalarType
from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE

from handlers import checkpoint
from handlers.errors import BadCheckpoint
from handlers.inert import Foreign, walk
from scripts.inspection.modules import module_state
from scripts.inspection.opened import Opened
from scripts.inspection.opening import open_checkpoint
from scripts.inspection.reading import exported, storages
from tests.corpus import (
    FORMS,
    PAYLOADS,
    before_1_6,
    exchanged,
    in_zip,
    network,
    save,
    save_exported,
    save_folder,
    save_package,
    save_safetensors,
    save_sharded,
    save_torchscript,
    state,
    training,
)

ZIPPED = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-1.6"])


def refusal(path: Path) -> str:
    with pytest.raises(BadCheckpoint) as refused:
        open_checkpoint(path)
    assert refused.value.hint
    return str(refused.value)


def assert_same(found: object, wanted: dict[str, torch.Tensor]) -> None:
    assert isinstance(found, dict)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert found[name].stride() == value.stride()
        assert torch.equal(found[name], value)


def weights(opened: Opened) -> Any:
    """The state dict, wherever a form has it."""
    root = opened.root
    if opened.format == "torch.package":
        assert isinstance(root, dict)
        (root,) = root.values()
    if isinstance(root, Foreign):
        return module_state(root)
    assert isinstance(root, dict)
    root = root.get("model", root)
    return {name.removeprefix("module."): value for name, value in root.items()}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_its_tensors(tmp_path: Path, form: str) -> None:
    wanted, write = FORMS[form]
    path = write(tmp_path / "w.pt")
    opened = open_checkpoint(path)
    assert opened.format == wanted
    found = weights(opened)
    assert found.keys() == state().keys()
    assert all(torch.equal(found[name], value) for name, value in state().items())
    files = [file for file in ([path] if path.is_file() else path.iterdir()) if "json" not in file.suffix]
    assert opened.size == sum(file.stat().st_size for file in files)
    assert opened.path in (path, *path.glob("*"))


LOADABLE = ("state dict", "training", "parallel", "safetensors", "traced", "scripted", "folder")


@pytest.mark.parametrize("form", FORMS)
def test_loadable_agrees_with_what_a_worker_can_load(tmp_path: Path, form: str) -> None:
    opened = open_checkpoint(FORMS[form][1](tmp_path / "w.pt"))
    assert opened.loadable == form.removesuffix(" before 1.6").startswith(LOADABLE)
    if opened.format == "TorchScript":
        with pytest.warns(DeprecationWarning, match="torch.jit"):
            torch.jit.load(str(opened.path))
    elif opened.loadable:
        assert checkpoint.read(opened.path)
    else:
        with pytest.raises(BadCheckpoint):
            checkpoint.read(opened.path)


class Odd:
    """Someone's own class."""


VALUES: dict[str, Callable[[], object]] = {
    "counter": lambda: __import__("collections").Counter(a=1),
    "numbers": lambda: {"a": 2**70, "b": 1j, "c": None, "d": (1, [2.5, {"e"}])},
    "bytes": lambda: {"a": b"\x00\xff", "b": bytearray(b"x")},
    "dtype": lambda: {"dtype": torch.bfloat16, "size": torch.Size([1, 2]), "device": torch.device("cpu")},
    "default dict": lambda: __import__("collections").defaultdict(list, a=[1]),
    "deque": lambda: __import__("collections").deque([1]),
    "numpy": lambda: {"best": __import__("numpy").float64(0.5)},
    "own class": lambda: {"a": Odd()},
    "path": lambda: {"a": Path("x")},
    "function": lambda: {"a": len},
    "frozen": lambda: {"a": frozenset([1])},
    "parameter": lambda: {"a": nn.Parameter(torch.ones(2))},
    "sparse": lambda: {"a": torch.ones(2, 2).to_sparse()},
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.filterwarnings("ignore:.*[Ss]parse:UserWarning")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES)
@ZIPPED
def test_loadable_agrees_with_torch_on_values_of_every_kind(
    tmp_path: Path, value: str, protocol: int, zipped: bool
) -> None:
    path = save(VALUES[value](), tmp_path / "w.pt", zipped, protocol)
    try:
        torch.load(path, weights_only=True)
        loads = True
    except Exception:
        loads = False
    opened = open_checkpoint(path)
    assert opened.loadable == loads
    assert opened.loadable or opened.refused or opened.notes


@ZIPPED
def test_plain_values_are_what_torch_gives(tmp_path: Path, zipped: bool) -> None:
    value = {
        "a": 2**70,
        "b": 1j,
        "c": (1, [2.5, None, True]),
        "d": {"e"},
        3: b"\xff",
        "f": torch.Size([1, 2]),
    }
    assert open_checkpoint(save(value, tmp_path / "w.pt", zipped)).root == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@ZIPPED
def test_a_protocol_that_torch_refuses_is_noted_and_still_read(
    tmp_path: Path, zipped: bool, protocol: int
) -> None:
    opened = open_checkpoint(save(state(), tmp_path / "w.pt", zipped, protocol))
    assert bool(opened.notes) == (protocol > 3)
    assert opened.refused == ()
    assert_same(opened.root, state())


# Tensors


DTYPES = [
    *(
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.complex64,
        torch.complex128,
        torch.bool,
    ),
    *(
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.uint64,
    ),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
]


@ZIPPED
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_is_read(tmp_path: Path, dtype: torch.dtype, zipped: bool) -> None:
    value = torch.arange(6).to(torch.float32).to(dtype).reshape(2, 3)
    found: Any = open_checkpoint(save({"a": value}, tmp_path / "w.pt", zipped)).root
    assert found["a"].dtype == dtype
    assert torch.equal(found["a"].view(torch.uint8), value.view(torch.uint8))


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != torch.complex128], ids=str)
def test_every_dtype_of_safetensors_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    value = {"odd": torch.ones(3, dtype=torch.uint8), "a": torch.arange(6).to(torch.float32).to(dtype)}
    safetensors.torch.save_file(value, tmp_path / "w")
    found: Any = open_checkpoint(tmp_path / "w").root
    assert found["a"].dtype == dtype
    assert torch.equal(found["a"].view(torch.uint8), value["a"].view(torch.uint8))


def test_the_tables_of_dtypes_are_torchs() -> None:
    known = {name: dtype for dtype, name in torch.storage._dtype_to_storage_type_map().items()}
    assert {**known, "UntypedStorage": torch.uint8} == storages.DTYPES
    schema = {int(code): dtype for code, dtype in _SERIALIZE_TO_TORCH_DTYPE.items() if code}
    assert schema == exported.DTYPES
    assert set(exported.DTYPES) == {int(code) for code in ScalarType} - {0}


@ZIPPED
def test_strides_views_and_shared_storages_are_kept(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24.0)
    wanted = {
        "base": base,
        "view": base[4:10].view(2, 3),
        "transposed": base.view(4, 6).t(),
        "strided": base[1::5],
        "expanded": torch.ones(1).expand(1000, 1000, 1000, 1000),
        "empty": torch.empty(0, 5),
        "scalar": torch.tensor(3),
        "other": torch.arange(24.0),
    }
    opened = open_checkpoint(save(wanted, tmp_path / "w.pt", zipped))
    found: Any = opened.root
    assert opened.size < 10_000
    expanded = found.pop("expanded")
    assert (expanded.shape, expanded.stride()) == ((1000,) * 4, (0,) * 4)
    assert_same(found, {name: value for name, value in wanted.items() if name != "expanded"})
    assert found["view"].untyped_storage().data_ptr() == found["base"].untyped_storage().data_ptr()
    found["base"][4] = 77.0
    assert found["view"][0, 0] == 77.0
    assert found["other"][4] == 4.0


def test_changing_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    path = save({"a": torch.ones(3)}, tmp_path / "w.pt")
    content = path.read_bytes()
    found: Any = open_checkpoint(path).root
    found["a"].zero_()
    assert path.read_bytes() == content
    path.unlink()
    assert found["a"].tolist() == [0.0, 0.0, 0.0]


@ZIPPED
def test_nothing_of_the_values_is_copied_or_read(tmp_path: Path, zipped: bool) -> None:
    """A hundred tensors of a gigabyte each, in a file with holes: there is no memory for as much."""
    path, size = tmp_path / "w.pt", 1 << 30
    save({"a": torch.zeros(3, dtype=torch.uint8)}, path, zipped)
    if zipped:
        with zipfile.ZipFile(path) as good:
            entries = {name: good.read(name) for name in good.namelist()}
        pickled = next(content for name, content in entries.items() if name.endswith("data.pkl"))
        assert pickled.count(b"K\x03") == 2
        big = pickled.replace(b"K\x03", b"J" + struct.pack("<i", size))
        with zipfile.ZipFile(path, "w") as holed:
            holed.writestr("w/data.pkl", big.replace(struct.pack("<i", size), struct.pack("<i", size // 8)))
            with holed.open("w/data/0", "w") as record:
                for _ in range(16):
                    record.write(bytes(size >> 7))
        found: Any = open_checkpoint(path).root
        assert found["a"].numel() == size // 8
    else:
        content = path.read_bytes()
        assert content.count(b"K\x03") == 2
        big = content.replace(b"K\x03", b"J" + struct.pack("<i", size))
        assert big.endswith(struct.pack("<q", 3) + bytes(3))
        with path.open("wb") as file:
            file.write(big[:-11] + struct.pack("<q", size))
            file.truncate(len(big) - 3 + size)
        found = open_checkpoint(path).root
        assert found["a"].numel() == size


@ZIPPED
@pytest.mark.parametrize("change", [(b"K\x02K\x03\x86", b"K\x02K\x04\x86"), (b"K\x00K\x02", b"K\x01K\x02")])
def test_a_tensor_beyond_its_storage_is_refused(
    tmp_path: Path, zipped: bool, change: tuple[bytes, bytes]
) -> None:
    path = save({"a": torch.ones(2, 3)}, tmp_path / "w.pt", zipped)
    content = path.read_bytes()
    assert content.count(change[0]) == 1
    path.write_bytes(content.replace(*change))
    assert "reaches beyond its storage" in refusal(path)


# Modules


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.own = nn.Parameter(torch.ones(3))
        self.register_buffer("kept", torch.ones(1))
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.register_buffer("nothing", None)


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Inner(), Inner()])
        self.tied = self.blocks[0].first


@pytest.mark.parametrize("protocol", [2, 4])
@ZIPPED
def test_a_pickled_module_gives_its_state_dict(tmp_path: Path, zipped: bool, protocol: int) -> None:
    model = Outer()
    root = open_checkpoint(save(model, tmp_path / "w.pt", zipped, protocol)).root
    found = module_state(root)
    assert found is not None
    assert_same(found, dict(model.state_dict()))
    assert found["tied.weight"].data_ptr() == found["blocks.0.first.weight"].data_ptr()


def test_what_is_no_module_has_no_state() -> None:
    for value in ({}, torch.ones(1), Foreign("m.C"), Foreign("m.C", ({"a": 1},))):
        assert module_state(value) is None


def test_modules_that_hold_each_other_are_refused() -> None:
    ring = Foreign("m.C", ())
    ring.state = {"_parameters": {}, "_modules": {"again": ring}}
    with pytest.raises(BadCheckpoint, match="without end"):
        module_state(ring)
    doubled = Foreign("m.C", ())
    doubled.state = {"_parameters": {}, "_modules": {}}
    for _ in range(60):
        outer = Foreign("m.C", ())
        outer.state = {"_parameters": {}, "_modules": {"a": doubled, "b": doubled}}
        doubled = outer
    with pytest.raises(BadCheckpoint, match="without end"):
        module_state(doubled)


# What would execute


@pytest.mark.parametrize("form", [in_zip, before_1_6], ids=["zip", "before-1.6"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_malicious_pickle_is_named_and_never_executed(
    tmp_path: Path, payload: str, form: Callable[[bytes], bytes]
) -> None:
    build, name = PAYLOADS[payload]
    path, trace = tmp_path / "w.pth", tmp_path / "executed"
    path.write_bytes(form(build(str(trace))))
    opened = open_checkpoint(path)
    assert name in opened.imports
    assert name in opened.refused
    assert not opened.loadable
    for value in walk(opened.root):
        repr(value) if isinstance(value, Foreign) else None
    assert not trace.exists()


@pytest.mark.parametrize("write", [save_torchscript, save_package], ids=["TorchScript", "package"])
@pytest.mark.parametrize("payload", ["os.system", "stack global", "inst"])
def test_pickles_in_other_archives_are_never_executed(
    tmp_path: Path, payload: str, write: Callable[[Path], Path]
) -> None:
    build, name = PAYLOADS[payload]
    path, trace = tmp_path / "w.pth", tmp_path / "executed"
    entry = "data.pkl" if write is save_torchscript else "model/model.pkl"
    write(path)
    path.write_bytes(exchanged(path.read_bytes(), entry, build(str(trace))))
    assert name in open_checkpoint(path).imports
    assert not trace.exists()


def test_a_pickle_in_a_persistent_id_is_named_and_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "executed"
    build, _ = PAYLOADS["os.system"]
    path.write_bytes(in_zip(build(str(trace))[:-1] + b"Q."))
    told = refusal(path)
    assert "names os.system (nothing of it was executed)" in told
    assert not trace.exists()


def test_hostile_names_are_told_without_their_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(in_zip(b"\x80\x02c\x1b[2Jevil\nf" + b"x" * 5000 + b"\n0"))
    told = refusal(path)
    assert "\\x1b[2Jevil.f" in told
    assert told.isprintable()
    assert len(told) < 1000


# Archives


def rezipped(
    path: Path, change: Callable[[dict[str, bytes]], None], method: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_a_zip_that_was_zipped_again_is_read(tmp_path: Path) -> None:
    assert_same(open_checkpoint(rezipped(save(state(), tmp_path / "w.pt"), lambda _: None)).root, state())


def test_compressed_records_are_refused_by_name(tmp_path: Path) -> None:
    path = rezipped(save(state(), tmp_path / "w.pt"), lambda _: None, zipfile.ZIP_DEFLATED)
    told = refusal(path)
    assert "compressed records" in told
    assert "zip -0" in told
    with pytest.raises(BadCheckpoint, match="compressed records"):
        checkpoint.read(path)


def test_big_endian_is_refused_by_name(tmp_path: Path) -> None:
    path = rezipped(save(state(), tmp_path / "w.pt"), lambda entries: entries.update({"w/byteorder": b"big"}))
    assert "big-endian machine" in refusal(path)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    path = rezipped(save(state(), tmp_path / "w.pt"), lambda entries: entries.pop("w/data/3") and None)
    assert "lacks its record 'data/3'" in refusal(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("name", ["w/data.pkl", "w/DATA.PKL"])
def test_a_record_that_is_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    path = save(state(), tmp_path / "w.pt")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"N.")
    assert "'data.pkl' more than once" in refusal(path)


def test_a_zip_of_several_folders_is_refused_as_torch_does(tmp_path: Path) -> None:
    path = rezipped(
        save(state(), tmp_path / "w.pt"),
        lambda entries: entries.update({"x/data/0": entries.pop("w/data/0")}),
    )
    assert "several folders" in refusal(path)
    with pytest.raises(BadCheckpoint):
        checkpoint.read(path)


def test_a_zip_behind_another_file_is_refused(tmp_path: Path) -> None:
    inner = save(state(), tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(inner + inner)
    assert "something in front" in refusal(tmp_path / "w.pt")


def test_a_pickle_with_a_zip_behind_it_is_read_as_torch_does(tmp_path: Path) -> None:
    build, name = PAYLOADS["os.system"]
    path, trace = tmp_path / "w.pt", tmp_path / "executed"
    path.write_bytes(before_1_6(build(str(trace))) + save(state(), tmp_path / "other.pt").read_bytes())
    assert name in open_checkpoint(path).refused
    with pytest.raises(BadCheckpoint, match="import and run os"):
        checkpoint.read(path)


def test_an_older_exported_program_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", save(state(), tmp_path / "inner.pt").read_bytes())
        archive.writestr("version", "5.1")
    opened = open_checkpoint(tmp_path / "w.pt2")
    assert opened.format == "exported program"
    assert_same(opened.root, state())


def test_a_damaged_description_of_an_exported_program_is_refused(tmp_path: Path) -> None:
    name = "w/data/weights/model_weights_config.json"
    path = save_exported(tmp_path / "w.pt2")
    rezipped(
        path, lambda entries: entries.update({name: entries[name].replace(b'"dtype": 7', b'"dtype": 99')})
    )
    assert "unknown dtype 99" in refusal(path)
    rezipped(path, lambda entries: entries.update({name: b"[" * 100_000}))
    assert "description is malformed" in refusal(path)


# safetensors


def written(path: Path, header: bytes, values: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + values)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


def test_metadata_of_safetensors_is_kept(tmp_path: Path) -> None:
    opened = open_checkpoint(save_safetensors(tmp_path / "w"))
    assert opened.metadata == {"format": "pt"}
    assert_same(opened.root, {name: state()[name] for name in opened.root})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry(data_offsets=[0, 4])}, "doesn't lie where its shape"),
        ({"a": entry(data_offsets=[4, 12])}, "doesn't lie where its shape"),
        ({"a": entry(), "b": entry()}, "doesn't lie where its shape"),
        ({"a": entry(data_offsets=[8, 0])}, "doesn't lie where its shape"),
        ({"a": entry(shape=[3], data_offsets=[0, 12])}, "cut short"),
        ({"a": entry(shape=[1], data_offsets=[0, 4])}, "belong to no tensor"),
        ({"a": entry(shape=[2**62, 4], data_offsets=[0, 2**66])}, "impossible shape"),
        ({"a": entry(shape=[2**62], data_offsets=[0, 8])}, "impossible shape"),
        ({"a": entry(shape=[-2], data_offsets=[0, 8])}, "impossible shape"),
        ({"a": entry(shape=[1] * 65, data_offsets=[0, 4])}, "impossible shape"),
        ({"a": entry(dtype="F99")}, "has the dtype 'F99'"),
        ({"a": {"dtype": "F32"}}, "is malformed"),
        ({"a": 1}, "is malformed"),
        ({"a": entry(), "__metadata__": {"x": 1}}, "metadata"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: dict[str, Any], message: str) -> None:
    assert message in refusal(written(tmp_path / "w", json.dumps(header).encode(), bytes(8)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<Q", 100_000_001) + b"{}", "its header would have 100,000,001 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "its header would have"),
        (struct.pack("<Q", 100) + b"{}", "cut short"),
        (struct.pack("<Q", 6) + b'{"a":[' + b"[" * 100_000, "no JSON"),
        (struct.pack("<Q", 100_005) + b'{"a":' + b"[" * 100_000, "no JSON"),
    ],
)
def test_a_broken_header_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "w").write_bytes(content)
    assert message in refusal(tmp_path / "w")


# Folders


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(save(state(), tmp_path / "blob"))
    opened = open_checkpoint(tmp_path / "link")
    assert opened.path == tmp_path / "link"
    assert_same(opened.root, state())


def test_of_a_folder_the_whole_file_is_taken_and_the_safer_one(tmp_path: Path) -> None:
    save(training(), tmp_path / "optimizer.pt")
    save(state(), tmp_path / "pytorch_model.bin")
    assert open_checkpoint(tmp_path).path.name == "pytorch_model.bin"
    save_safetensors(tmp_path / "model.safetensors")
    assert open_checkpoint(tmp_path).path.name == "model.safetensors"


def test_a_folder_with_several_checkpoints_or_none_is_refused_with_the_way_out(tmp_path: Path) -> None:
    assert "holds no checkpoint" in refusal(tmp_path)
    save(state(), tmp_path / "a.pth")
    assert open_checkpoint(tmp_path).path.name == "a.pth"
    save(state(), tmp_path / "b.pth")
    assert "holds several checkpoints: a.pth, b.pth" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (".metadata", "distributed checkpoint"),
        ("zero_to_fp32.py", "DeepSpeed"),
        ("saved_model.pb", "TensorFlow"),
        ("data.pkl", "unzipped checkpoint"),
    ],
)
def test_a_folder_of_another_kind_is_named(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert what in refusal(tmp_path)


def test_shards_are_merged_in_the_order_of_the_index(tmp_path: Path) -> None:
    opened = open_checkpoint(save_sharded(tmp_path / "w"))
    assert opened.path == tmp_path / "w" / "model.safetensors.index.json"
    assert_same(opened.root, state())
    assert_same(open_checkpoint(opened.path).root, state())
    assert not opened.loadable


def test_shards_that_are_missing_or_elsewhere_are_refused(tmp_path: Path) -> None:
    index = open_checkpoint(save_sharded(tmp_path / "w")).path
    content = index.read_text()
    for shard in ("../w.pth", "/etc/passwd", "..", ""):
        index.write_text(content.replace("model-00001-of-00002.safetensors", shard))
        assert "names a shard elsewhere" in refusal(index)
    index.write_text(content.replace('"0.weight"', '"zero.weight"'))
    assert "finds no 'zero.weight' in model-00001-of-00002.safetensors" in refusal(index)
    index.write_text(content)
    (index.parent / "model-00002-of-00002.safetensors").unlink()
    assert "lacks the shard 'model-00002-of-00002.safetensors'" in refusal(index)
    index.write_text("{}")
    assert "is no index of shards" in refusal(index)


# Damage


def contents(tmp: Path) -> dict[str, bytes]:
    forms = [
        "state dict",
        "training before 1.6",
        "whole model",
        "safetensors",
        "traced",
        "exported",
        "package",
    ]
    return {form: FORMS[form][1](tmp / form).read_bytes() for form in forms}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return contents(tmp_path_factory.mktemp("originals"))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_of_any_kind_is_refused_or_read(
    originals: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(originals[data.draw(st.sampled_from(sorted(originals)))])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "damaged.opened"
    path.unlink(missing_ok=True)  # a new file: the old one may still be mapped
    path.write_bytes(content)
    try:
        root, told = open_checkpoint(path).root, str(path)
    except BadCheckpoint as refused:
        root, told = None, str(refused)
    assert str(path) in told
    assert told.isprintable()
    for value in walk(root):
        if isinstance(value, torch.Tensor) and value.numel() < 1000:
            value.clone()


@pytest.mark.parametrize("form", ["state dict", "training before 1.6", "safetensors", "exported", "traced"])
def test_a_file_that_is_cut_short_is_refused_wherever_it_is_cut(
    originals: dict[str, bytes], tmp_path: Path, form: str
) -> None:
    content = originals[form]
    for number, end in enumerate(range(0, len(content), max(1, len(content) // 40))):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(content[:end])
        assert refusal(path)


def test_networks_of_the_corpus_compute(tmp_path: Path) -> None:
    """Views of an unaligned file are tensors as others are."""
    model = network()
    found: Any = open_checkpoint(save(model.state_dict(), tmp_path / "w.pt", zipped=False)).root
    other = network()
    other.load_state_dict(found, assign=True)
    picture = torch.rand(2, 1, 3, 3)
    assert torch.equal(other(picture), model(picture))


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{", b'{"a": \xff}', b"[" * 100_000, b'{"1": 1}' + b" " * 2**22]
)
def test_a_config_that_cannot_be_read_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    folder = save_folder(tmp_path / "hub")
    (folder / "config.json").write_bytes(content)
    assert open_checkpoint(folder).config == ({"1": 1} if content.startswith(b'{"1"') else {})


def test_the_config_of_a_folder_is_read_and_of_a_single_file_not(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hub")
    (folder / "config.json").write_text('{"id2label": {"0": "cat"}}')
    assert open_checkpoint(folder).config == {"id2label": {"0": "cat"}}
    assert open_checkpoint(folder / "pytorch_model.bin").config == {}
