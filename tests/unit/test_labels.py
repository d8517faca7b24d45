"""Label maps in every form that training code keeps them in."""

import pytest

from handlers.inert import Foreign
from scripts.inspection.labels import labels

PETS = ("cat", "dog", "newt")


def appended(*items: object) -> Foreign:
    found = Foreign("builtins.list", ())
    found.items.extend(items)
    return found


def filled(**pairs: object) -> Foreign:
    found = Foreign("collections.defaultdict", ())
    found.pairs.extend(pairs.items())
    return found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_to_idx", {"newt": 2, "cat": 0, "dog": 1}),
        ("label2id", {"cat": 0, "dog": 1, "newt": 2}),
        ("idx_to_class", {1: "dog", 0: "cat", 2: "newt"}),
        ("idx_to_name", {0: "cat", 1: "dog", 2: "newt"}),
        ("id2label", {"0": "cat", "1": "dog", "2": "newt"}),
        ("classes", ["cat", "dog", "newt"]),
        ("CLASSES", ("cat", "dog", "newt")),
        ("class_names", ["cat", "dog", "newt"]),
        ("labels", ["cat", "dog", "newt"]),
        ("names", {0: "cat", 1: "dog", 2: "newt"}),
        ("target_names", ["cat", "dog", "newt"]),
        ("categories", [{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}, {"id": 2, "name": "newt"}]),
        ("classes", appended("cat", "dog", "newt")),
        ("class_to_idx", filled(dog=1, cat=0, newt=2)),
    ],
)
def test_labels_come_in_the_order_of_the_outputs(key: str, value: object) -> None:
    assert labels(key, value) == PETS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feature_names", ["age", "sex", "bmi"]),
        ("milestones", ["cat", "dog", "newt"]),
        ("num_classes", 3),
        ("classes", "cat"),
        ("classes", []),
        ("classes", {}),
        ("classes", ["cat", 1]),
        ("classes", ["cat", ""]),
        ("class_to_idx", {"cat": 0, "dog": 2}),
        ("class_to_idx", {"cat": 1, "dog": 2}),
        ("class_to_idx", {"cat": 0, "dog": 0}),
        ("class_to_idx", {"cat": False, "dog": True}),
        ("idx_to_class", {0: "cat", 5: "dog"}),
        ("idx_to_class", {"zero": "cat"}),
        ("idx_to_class", {10**30: "cat"}),
        ("class_weights", [0.1, 0.9]),
        ("categories", [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]),
        ("categories", [{"id": [], "name": "person"}]),
        ("classes", Foreign("numpy.ndarray", (0,))),
        ("classes", ["cat"] * 100_001),
    ],
)
def test_what_is_no_complete_map_gives_none(key: str, value: object) -> None:
    assert labels(key, value) == ()


def test_names_that_nobody_gave_are_no_labels() -> None:
    assert labels("id2label", {"0": "LABEL_0", "1": "LABEL_1"}) == ()
    assert labels("id2label", {"0": "LABEL_0", "1": "cat"}) == ("LABEL_0", "cat")
