"""What a builder's tensors are called in a larger network that took it apart."""

import pytest

from scripts.architectures.form import Form, forms

CHILDREN = ("conv1", "relu", "features", "fc")


@pytest.mark.parametrize(
    ("form", "own", "within"),
    [
        (Form(), "conv1.weight", "conv1.weight"),
        (Form(children=CHILDREN), "conv1.weight", "0.weight"),
        (Form(children=CHILDREN), "features.0.bias", "2.0.bias"),
        (Form(taken="features"), "features.0.bias", "0.bias"),
    ],
)
def test_a_name_is_told_both_ways(form: Form, own: str, within: str) -> None:
    assert (form.within(own), form.own(within)) == (within, own)


def test_what_was_not_taken_has_no_name_there() -> None:
    assert Form(taken="features").within("fc.weight") is None
    assert Form(children=CHILDREN).within("class_token") is None
    assert Form(children=CHILDREN).within("other.weight") is None


def test_numbers_of_no_child_stay() -> None:
    assert Form(children=CHILDREN).own("7.weight") == "7.weight"
    assert Form(children=CHILDREN).own("head.weight") == "head.weight"


def test_features_are_taken_where_there_are_some() -> None:
    assert list(forms(CHILDREN)) == [Form(children=CHILDREN), Form(taken="features")]
    assert list(forms(["conv1", "fc"])) == [Form(children=("conv1", "fc"))]
    assert list(forms([])) == []
