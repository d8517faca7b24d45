"""processor: equal where the same code is executed."""

from pathlib import Path

import pytest
import torch

from handlers import processor

X86 = """processor\t: 0
model name\t: One
flags\t\t: fpu avx2 fma avx mmx

processor\t: 1
flags\t\t: fpu avx2 fma avx mmx
"""
ARM = "processor : 0\nFeatures : fp asimd sve bf16 crc32\n"
CPU = torch.device("cpu")


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", path)
    monkeypatch.setattr("platform.machine", lambda: "m")
    return path


@pytest.mark.parametrize(
    ("text", "kind"), [(X86, "m avx avx2 fma"), (ARM, "m asimd bf16 sve"), ("", "m"), ("nonsense", "m")]
)
def test_a_kind_has_the_flags_by_which_libraries_choose_their_code(
    text: str, kind: str, cpuinfo: Path
) -> None:
    cpuinfo.write_text(text)
    assert processor.kind(CPU) == kind


def test_what_cannot_be_read_has_no_flags(cpuinfo: Path) -> None:
    assert processor.kind(CPU) == "m"


def test_models_of_a_processor_do_not_matter_features_do(cpuinfo: Path, tmp_path: Path) -> None:
    cpuinfo.write_text(X86)
    first = processor.kind(CPU)
    processor._flags.cache_clear()
    cpuinfo.write_text(X86.replace("One", "Two"))
    assert processor.kind(CPU) == first
    processor._flags.cache_clear()
    cpuinfo.write_text(X86.replace("avx2", "avx2 avx512f"))
    assert processor.kind(CPU) != first


def test_this_machine_has_a_kind() -> None:
    assert processor.kind(CPU).split()[0]
