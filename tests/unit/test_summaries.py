"""One line on whatever a checkpoint holds."""

import pytest
import torch

from handlers.inert import Foreign
from scripts.inspection.summaries import MOST, sized, summary


def made(name: str, state: object) -> Foreign:
    found = Foreign(name, ())
    found.state = state
    return found


MOMENTS = {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(256), "exp_avg_sq": torch.zeros(256)}}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (12, "12"),
        (None, "None"),
        (0.5, "0.5"),
        (float("nan"), "nan"),
        ("resnet50", "resnet50"),
        ("\x1b[2J", r"\x1b[2J"),
        (b"\x00" * 10**6, repr(b"\x00" * 80)[:40] + "…" + repr(b"\x00" * 80)[-40:]),
        (torch.tensor(0.25), "0.25"),
        (torch.tensor([7]), "7"),
        (torch.zeros(3, 4, dtype=torch.bfloat16), "tensor [3, 4] bfloat16"),
        (
            {"state": MOMENTS, "param_groups": [{"lr": 0.001, "params": [0]}]},
            "3 tensors, 2.0 KiB, lr 0.001",
        ),
        ({"last_epoch": 3, "verbose": False}, "last_epoch 3, verbose False"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "a 1, b 2, c 3, d 4 and 1 more"),
        (made("argparse.Namespace", {"arch": "resnet50", "epochs": 90}), "arch resnet50, epochs 90"),
        (Foreign("cats.Thing", ()), "cats.Thing"),
        ([1, 2, 3], "list of 3: 1, 2, 3"),
        ([[1], [2]], "list of 2"),
        ({"fit_loop": {}, "test_loop": {}}, "2 entries: fit_loop, test_loop"),
        ({}, "empty"),
        ([], "empty"),
        ({"\n": 1}, r"\n 1"),
        ({"param_groups": [7]}, "1 entries: param_groups"),
    ],
)
def test_a_value_is_told_in_a_printable_line(value: object, line: str) -> None:
    assert summary(value) == line


def test_a_value_that_holds_itself_is_told() -> None:
    cyclic: dict[str, object] = {"tensor": torch.zeros(2), "epoch": 1}
    cyclic["self"] = cyclic
    assert summary(cyclic) == "1 tensor, 8 B, epoch 1"


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (90.14 * 2**20, "90.1 MiB"),
        (2000 * 2**30, "2,000.0 GiB"),
    ],
)
def test_bytes_are_told_in_the_unit_that_fits(size: float, told: str) -> None:
    assert sized(size) == told


def test_of_a_value_without_end_only_the_beginning_is_counted() -> None:
    tensors = [torch.zeros(1) for _ in range(3)]
    value = {"params": [*tensors, *[{} for _ in range(MOST)], torch.zeros(1)]}
    assert summary(value) == "at least 3 tensors, 12 B"
