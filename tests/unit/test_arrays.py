"""NumPy's values out of real pickles, and out of malformed ones nothing."""

import io
import pickle
from typing import Any

import numpy as np
import pytest

from handlers.inert import Foreign, Source, read
from scripts.inspection import arrays
from scripts.inspection.labels import labels
from scripts.inspection.reading.rebuilding import rebuild
from scripts.inspection.summaries import summary


def inert(value: object, protocol: int = 2) -> Any:
    """As it is found in a file."""
    file = io.BytesIO()
    pickle.dump(value, file, protocol)
    return read(Source(file.getvalue()), rebuild=rebuild).value


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "value",
    [np.float64(0.9), np.float32(0.5), np.int64(-7), np.uint8(200), np.bool_(True), np.str_("cat"),
     np.array(3, ">i4")[()]],
)  # fmt: skip
def test_a_scalar_is_the_number_that_it_was(value: Any, protocol: int) -> None:
    found = inert({"acc": value}, protocol)["acc"]
    assert (found, type(found)) == (value.item(), type(value.item()))


@pytest.mark.parametrize("kind", ["U", "O"])
def test_an_array_of_names_is_a_label_map(kind: str) -> None:
    names = np.array(["cat", "dög", "newt"], kind)
    assert labels("classes", inert(names)) == ("cat", "dög", "newt")


def test_a_short_array_is_shown() -> None:
    assert summary(inert(np.array([1, 2]))) == "list of 2: 1, 2"
    assert summary(inert(np.ones((2, 2)))).endswith("multiarray._reconstruct")  # a table is only named


def dtype(code: object = "f8", order: object = "<") -> Foreign:
    made = Foreign("numpy.dtype", (code, False, True))
    made.state = (3, order, None)
    return made


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (dtype(), b"123"),  # too few bytes
        (dtype(), b"1" * 16),  # two values
        (dtype(), "12345678"),
        (dtype("O8"), b"12345678"),
        (dtype("V8"), b"12345678"),
        (dtype("f8, i4"), b"1" * 12),
        (dtype("U999999"), b"1234"),
        (dtype("U1"), b"\xff\xff\xff\xff"),  # no letter
        (dtype(order="!"), b"12345678"),
        (dtype(8), b"12345678"),
        (Foreign("numpy.dtype", ("f8", False, True)), b"12345678"),
        (Foreign("os.system", ("f8",)), b"12345678"),
        ("f8", b"12345678"),
    ],
)
def test_what_is_malformed_stays_what_it_was_called(kind: object, content: object) -> None:
    assert arrays.scalar(kind, content) is NotImplemented


@pytest.mark.parametrize(
    "state",
    [
        None,
        (1, (3,), dtype("U1"), False, b"a\0\0\0"),  # one value, not three
        (1, (1, 1), dtype("U1"), False, b"a\0\0\0"),
        (1, ("1",), dtype("U1"), False, b"a\0\0\0"),
        (1, (2,), dtype("O8"), False, ["a"]),
    ],
)
def test_a_malformed_array_has_no_values(state: object) -> None:
    made = Foreign("numpy.core.multiarray._reconstruct", ())
    made.state = state
    assert arrays.items(made) is None
    assert labels("classes", made) == ()


def test_only_an_array_has_values() -> None:
    made = Foreign("cats._reconstruct", ())
    made.state = (1, (1,), dtype("O8"), False, ["a"])
    assert arrays.items(made) is None
