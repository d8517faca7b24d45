"""How two answers differ: numbers at the same place, scores by label, forms."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.recipe import Tolerance
from scripts.shadowing.difference import Difference, difference

ALLOWED = Tolerance()


def compared(serving: object, candidate: object) -> Difference:
    return difference(serving, candidate, ALLOWED)


def classes(**scores: float) -> dict[str, Any]:
    """As classify answers, in this order."""
    listed = [{"label": label, "index": ord(label[0]), "score": score} for label, score in scores.items()]
    return {"predictions": listed}


@pytest.mark.parametrize(
    "answer",
    [
        {"values": [1.5, -2.0], "names": ["a", "b"]},
        {"output": [[1, 2], [3, 4]], "shape": [2, 2]},
        classes(cat=0.9, dog=0.1),
        {"answers": [classes(cat=0.9), classes(dog=0.8)]},
        {"error": {"code": "bad_image", "message": "no"}},
        {},
        [],
        None,
        True,
    ],
)
def test_an_answer_equals_itself(answer: object) -> None:
    assert compared(answer, answer).kind == "equal"


def test_numbers_within_the_tolerance_are_equal_and_their_difference_is_told() -> None:
    found = compared({"values": [100.0, 0.0]}, {"values": [100.05, 0.00005]})
    assert (found.kind, found.what) == ("equal", "")
    assert found.largest == pytest.approx(0.05)


def test_numbers_beyond_it_differ_where_they_are_furthest_beyond() -> None:
    found = compared({"output": [[1, 1000.0], [3, 4.0]]}, {"output": [[1, 1000.9], [3, 4.5]]})
    assert (found.kind, found.what) == ("numbers", "output[1][1]: 4 and 4.5")
    assert found.largest == pytest.approx(0.9), "which 1000 bears"


def test_whole_numbers_and_fractions_are_both_numbers() -> None:
    assert compared({"values": [1]}, {"values": [1.0]}).kind == "equal"
    assert compared(3, 4) == Difference("numbers", 1.0, ": 3 and 4")


def test_near_equal_scores_that_change_places_are_equal() -> None:
    found = compared(classes(cat=0.50002, dog=0.49998), classes(dog=0.50001, cat=0.49999))
    assert found.kind == "equal"
    assert found.largest == pytest.approx(0.00003)


def test_places_of_others_than_the_best_count_by_their_scores() -> None:
    found = compared(classes(cat=0.8, dog=0.11, eel=0.09), classes(cat=0.8, eel=0.12, dog=0.07))
    assert (found.kind, found.what) == ("numbers", "predictions: score of dog: 0.11 and 0.07")
    assert found.largest == pytest.approx(0.04)


def test_another_best_label_is_worse_than_other_scores() -> None:
    found = compared(classes(cat=0.6, dog=0.4), classes(dog=0.55, cat=0.45))
    assert (found.kind, found.what) == ("label", "predictions: cat and dog")
    assert found.largest == pytest.approx(0.15)


def test_a_best_label_that_the_other_side_doesnt_tell_at_all_has_changed() -> None:
    assert compared(classes(cat=0.6, dog=0.3), classes(eel=0.6, dog=0.3)).kind == "label"


def test_what_is_just_cut_off_at_the_end_of_the_list_differs_by_no_more_than_its_distance() -> None:
    found = compared(classes(cat=0.9, dog=0.03001), classes(cat=0.9, eel=0.03002))
    assert found.kind == "equal"
    assert found.largest == pytest.approx(0.0, abs=1e-4)
    far = compared(classes(cat=0.8, dog=0.19), classes(cat=0.8, eel=0.1))
    assert (far.kind, far.largest) == ("numbers", pytest.approx(0.09))


def test_scores_are_compared_in_lists_of_answers_too() -> None:
    serving, candidate = [classes(cat=0.9), classes(dog=0.8)], [classes(cat=0.9), classes(dog=0.7)]
    found = compared({"answers": serving}, {"answers": candidate})
    assert found.what == "answers[1].predictions: score of dog: 0.8 and 0.7"


@pytest.mark.parametrize(
    ("serving", "candidate", "what"),
    [
        ({"values": [1.0]}, {"values": [1.0, 2.0]}, "values: 1 elements and 2"),
        ({"values": [1.0]}, {"output": [1.0]}, "the answer: ['values'] and ['output']"),
        ({"values": [1.0]}, {"values": ["1.0"]}, "values[0]: 1.0 and 1.0"),
        ({"names": ["a"]}, {"names": ["b"]}, "names[0]: a and b"),
        ({"a": True}, {"a": 1}, "a: True and 1"),
        ({"a": None}, {"a": 0.0}, "a: None and 0.0"),
        (classes(cat=0.9, dog=0.1), classes(cat=0.9), "predictions: 2 labels and 1"),
        (classes(cat=0.9), {"predictions": []}, "predictions: 1 elements and 0"),
        ([1.0], {"values": [1.0]}, "the answer: [1.0] and {'values': [1.0]}"),
    ],
)
def test_another_form_is_told_with_its_place(serving: object, candidate: object, what: str) -> None:
    found = compared(serving, candidate)
    assert (found.kind, found.what) == ("form", what)


def test_a_label_with_another_index_has_another_form() -> None:
    serving, candidate = classes(cat=0.9), classes(cat=0.9)
    candidate["predictions"][0]["index"] = 7
    assert compared(serving, candidate).what == "predictions: index of cat: 99 and 7"


def test_numbers_are_compared_although_the_form_differs_elsewhere() -> None:
    found = compared({"values": [1.0], "unit": "m"}, {"values": [3.0], "unit": "km"})
    assert (found.kind, found.largest) == ("form", 2.0)


def test_long_values_are_cut() -> None:
    assert len(compared("a" * 10_000, "b" * 10_000).what) < 300
