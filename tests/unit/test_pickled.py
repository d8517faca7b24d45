"""What a pickle would import: exactly, of both formats, and agreeing with what torch really refuses."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from handlers import pickled
from handlers.inert import Source, read
from tests.corpus import FORMS, PAYLOADS, before_1_6, in_zip, network, save, short, state, training

SAVED = ("state dict", "training", "parallel")


@pytest.mark.parametrize("form", [in_zip, before_1_6, bytes], ids=["zip", "before-1.6", "bare-pickle"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_a_malicious_file_would_import_is_named(
    tmp_path: Path, payload: str, form: Callable[[bytes], bytes]
) -> None:
    build, name = PAYLOADS[payload]
    (tmp_path / "w").write_bytes(form(build(str(tmp_path / "executed"))))
    assert name in pickled.unsafe_globals(tmp_path / "w")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith(SAVED)])
def test_what_torch_saves_of_tensors_is_safe(tmp_path: Path, form: str) -> None:
    assert pickled.unsafe_globals(FORMS[form][1](tmp_path / "w")) == []


@pytest.mark.parametrize("zipped", [True, False])
def test_the_classes_of_a_whole_model_are_named_once_in_order(tmp_path: Path, zipped: bool) -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    names = pickled.unsafe_globals(save(model, tmp_path / "w", zipped))
    modules = [name for name in names if name.startswith("torch.nn.modules")]
    assert [name.rpartition(".")[2] for name in modules] == ["Sequential", "Linear", "ReLU"]


def test_what_stands_before_damage_is_named(tmp_path: Path) -> None:
    for form in (in_zip, before_1_6):
        (tmp_path / "w").write_bytes(form(b"\x80\x02cos\nsystem\n0\xff"))
        assert pickled.unsafe_globals(tmp_path / "w") == ["os.system"]
    (tmp_path / "w").write_bytes(b"PK\x03\x04 no zip")
    assert pickled.unsafe_globals(tmp_path / "w") == []


def test_names_with_control_characters_are_escaped_and_shortened(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(in_zip(b"\x80\x02c\x1b[31m\nf\n0c" + b"m" * 900 + b"\nf\n."))
    escaped, long = pickled.unsafe_globals(tmp_path / "w")
    assert escaped == "\\x1b[31m.f"
    assert len(long) < 110


def test_names_of_python_2_are_those_that_torch_makes_of_them() -> None:
    assert pickled.refused(["__builtin__.set", "__builtin__.complex"]) == []
    assert pickled.refused(["__builtin__.eval", "copy_reg._reconstructor"]) == [
        "__builtin__.eval",
        "copy_reg._reconstructor",
    ]


class Admitted:
    """A class that whoever serves lets torch load."""


def test_what_the_process_admits_is_not_refused() -> None:
    name = f"{__name__}.Admitted"
    assert pickled.refused([name]) == [name]
    with torch.serialization.safe_globals([Admitted]):
        assert pickled.refused([name]) == []


def test_the_list_of_opcodes_is_torchs(tmp_path: Path) -> None:
    """Each is tried alone: torch says which it doesn't know before it looks at the stack."""
    import io
    import pickletools

    from torch import _weights_only_unpickler

    for opcode in pickletools.opcodes:
        content = opcode.code.encode("latin-1") + bytes(16)
        try:
            _weights_only_unpickler.Unpickler(io.BytesIO(content)).load()
            known = True
        except Exception as error:
            known = "Unsupported operand" not in str(error) or str(error).endswith(" 0")
        assert (opcode.name in pickled.KNOWN_OPCODES) == known, opcode.name


def test_obstacles_are_named() -> None:
    def obstacles(content: bytes) -> str:
        return " ".join(pickled.obstacles(read(Source(content))))

    assert obstacles(b"\x80\x02}.") == ""
    assert "FRAME, MEMOIZE" not in obstacles(b"\x80\x04}\x94.")
    assert "MEMOIZE" in obstacles(b"\x80\x04}\x94.")
    assert "STACK_GLOBAL" in obstacles(b"\x80\x04" + short("m") + short("f") + b"\x93.")
    assert "APPEND on m.f" in obstacles(b"\x80\x02cm\nf\n)RK\x01a.")
    assert "BUILD on <list>" in obstacles(b"\x80\x02]}b.")
    assert "SETITEM on <list>" in obstacles(b"\x80\x02]K\x01K\x02s.")


def test_a_zip_of_other_things_has_names_and_no_imports(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        archive.writestr("readme", "hello")
    assert pickled.zip_names(tmp_path / "w") == ["readme"]
    assert pickled.unsafe_globals(tmp_path / "w") == []
    assert pickled.zip_names(save(state(), tmp_path / "old", zipped=False)) == []


def test_leading_pickles_are_read_as_many_as_are_asked_for(tmp_path: Path) -> None:
    path = save({"whole": network(), **training()}, tmp_path / "w", zipped=False)
    assert list(pickled.leading_globals(path, 1)) == []
    assert "torch.nn.modules.linear.Linear" in list(pickled.leading_globals(path))
