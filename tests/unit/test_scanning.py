"""The values of tensors, however they lie in memory, against what torch itself counts."""

import pytest
import torch

from scripts.inspection import scanning
from scripts.inspection.scanning import scan

NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred values are many chunks."""
    monkeypatch.setattr(scanning, "CHUNK", 7)


def spoiled(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Values 1, 2, 3, ... of which the second is NaN, the fifth Inf and the last -Inf."""
    values = torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float32)
    values[1], values[4], values[-1] = NAN, INF, -INF
    return values.reshape(shape).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_nan_and_inf_are_counted_over_chunks(dtype: torch.dtype) -> None:
    seen = scan(spoiled((5, 6), dtype))
    assert (seen.nan, seen.inf) == (1, 2)
    assert seen.low != seen.low


def test_inf_alone_leaves_the_bounds() -> None:
    seen = scan(torch.tensor([1.0, INF, -3.0]))
    assert (seen.nan, seen.inf, seen.low, seen.high) == (0, 1, -3.0, INF)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool,
        torch.uint8,
        torch.int64,
        torch.uint16,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
        torch.complex64,
    ],
    ids=str,
)
def test_every_dtype_has_bounds(dtype: torch.dtype) -> None:
    seen = scan(torch.tensor([0, 1] * 20).to(dtype))
    assert (seen.nan, seen.inf, seen.low, seen.high) == (0, 0, 0.0, 1.0)


def test_nan_of_narrow_and_complex_values_is_seen() -> None:
    assert scan(torch.tensor([1.0, NAN]).to(torch.float8_e4m3fn)).nan == 1
    assert scan(torch.tensor([complex(1, NAN), complex(INF, 0)])).nan == 1
    assert scan(torch.tensor([complex(1, NAN), complex(INF, 0)])).inf == 1


@pytest.mark.parametrize(
    "view",
    [
        lambda whole: whole,
        lambda whole: whole.t(),
        lambda whole: whole.reshape(3, 4, 10).permute(2, 0, 1),
        lambda whole: whole[:, ::2],
        lambda whole: whole[1:7:2, 3:5],
        lambda whole: whole[3],
        lambda whole: whole[:, 4:5],
        lambda whole: whole[2, 2],
    ],
    ids=["whole", "transposed", "permuted", "every-other-column", "window", "row", "column", "scalar"],
)
def test_a_view_is_judged_by_its_own_values_alone(view: object) -> None:
    """Each value of the storage is spoiled in turn: it counts where the view holds it, and only there."""
    assert callable(view)
    for place in range(120):
        whole = torch.arange(1.0, 121.0)
        whole[place] = NAN
        seen = view(whole.reshape(12, 10))
        assert scan(seen).nan == int(seen.isnan().sum()), place


def test_an_expanded_tensor_is_never_expanded() -> None:
    wide = torch.tensor([[1.0], [NAN], [3.0]]).expand(3, 10**12)
    assert scan(wide).nan == 1
    assert scan(torch.zeros(()).expand(10**9, 10**9)).high == 0


def test_a_tensor_that_overlaps_itself_is_read_as_it_lies() -> None:
    windows = torch.arange(1.0, 10.0).unfold(0, 5, 1)
    assert (scan(windows).low, scan(windows).high) == (1.0, 9.0)


def test_a_tensor_without_values_has_no_bounds() -> None:
    seen = scan(torch.zeros(0, 3))
    assert (seen.nan, seen.inf) == (0, 0)
    assert seen.low != seen.low
