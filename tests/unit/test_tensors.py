"""The table of tensors: sizes, buffers, and shared memory counted once."""

import torch
from torch import nn

from scripts.inspection.tensors import Line, Totals, lines, sharing, totals


def test_a_line_has_name_shape_dtype_and_sizes() -> None:
    assert lines({"fc.weight": torch.zeros(3, 4, dtype=torch.float16)}) == [
        Line("fc.weight", (3, 4), "float16", values=12, bytes=24, buffer=False)
    ]


def test_running_statistics_and_whole_numbers_are_no_parameters() -> None:
    state = {
        **nn.BatchNorm1d(5).state_dict(),
        "index": torch.arange(7),
        "phase": torch.zeros(2, dtype=torch.complex64),
    }
    told = totals(lines(state))
    assert told == Totals(
        tensors=7,
        parameters=5 + 5 + 2,
        buffers=5 + 5 + 1 + 7,
        bytes=4 * 20 + 8 + 7 * 8 + 2 * 8,
        dtypes=("float32", "complex64"),
    )


def test_tied_weights_are_told_and_counted_once() -> None:
    encoder = nn.Embedding(10, 4)
    decoder = nn.Linear(4, 10)
    decoder.weight = encoder.weight
    held = nn.ModuleDict({"encoder": encoder, "decoder": decoder}).state_dict()
    assert sharing(held) == {"decoder.weight": "encoder.weight"}
    assert totals(lines(held)).parameters == 40 + 10
    assert totals(lines(held)).bytes == 4 * 50


def test_a_view_lies_on_the_whole_wherever_it_stands_in_the_file() -> None:
    whole = torch.zeros(10, 10)
    state = {"row": whole[2], "whole": whole, "flipped": whole.t(), "other": torch.zeros(5)}
    assert sharing(state) == {"row": "whole", "flipped": "whole"}


def test_neighbours_in_one_storage_share_nothing() -> None:
    storage = torch.zeros(20)
    assert sharing({"a": storage[:10], "b": storage[10:], "none": storage[5:5]}) == {}


def test_an_expanded_tensor_weighs_what_it_touches() -> None:
    (line,) = lines({"wide": torch.zeros(3, 1).expand(3, 10**9)})
    assert (line.values, line.bytes) == (3 * 10**9, 12)


def test_dtypes_are_those_of_the_parameters_where_there_are_any() -> None:
    assert totals(lines({"table": torch.arange(3)})).dtypes == ("int64",)
