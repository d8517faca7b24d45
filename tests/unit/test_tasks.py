"""tasks: raw outputs become answers, by the built-in tasks or by a subclass in the model's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec import UNSET

from handlers.answers import Classification
from handlers.errors import BadInput, BadRecipe, ForwardFailed
from handlers.handler import Handler
from handlers.recipe import Model, Output, TensorInput
from handlers.tasks import Regress, Tensor, open_task
from handlers.wire import EncodedImage, Numbers, Row
from tests import tiny_models


def recipe(task: str, output: Output = Output(), tensor: TensorInput = TensorInput([2])) -> Model:  # noqa: B008
    return Model("m", "1", task, "weights.pth", tensor, output=output)


def classify(output: Output, folder: Path, scores: list[float]) -> list[tuple[str, int, float]]:
    task = open_task(recipe("classify", output), folder)
    answer = task.finish(torch.tensor(scores))
    assert isinstance(answer, Classification)
    return [(one.label, one.index, one.score) for one in answer.predictions]


def labels(folder: Path, text: str) -> Output:
    (folder / "labels.txt").write_text(text, encoding="utf-8")
    return Output(labels="labels.txt")


def test_classify_gives_the_softmax_of_the_best_first(tmp_path: Path) -> None:
    found = classify(Output(), tmp_path, [1.0, 3.0, 2.0])
    assert [(label, index) for label, index, _ in found] == [("1", 1), ("2", 2), ("0", 0)]
    wanted = np.exp([3.0, 2.0, 1.0]) / np.exp([3.0, 2.0, 1.0]).sum()
    assert [score for _, _, score in found] == pytest.approx(wanted, abs=1e-6)


def test_classify_with_sigmoid_scores_each_class_for_itself(tmp_path: Path) -> None:
    found = classify(Output(activation="sigmoid"), tmp_path, [-1.0, 0.0, 100.0])
    assert [index for _, index, _ in found] == [2, 1, 0]
    assert [score for _, _, score in found] == pytest.approx([1.0, 0.5, 1 / (1 + np.e)], abs=1e-6)


def test_huge_scores_stay_finite(tmp_path: Path) -> None:
    assert [score for *_, score in classify(Output(), tmp_path, [3e38, -3e38])] == [1.0, 0.0]


def test_classify_names_the_labels_without_their_spaces_and_last_empty_lines(tmp_path: Path) -> None:
    output = labels(tmp_path, "cat \r\n grüner hund\n\n\n")
    assert [label for label, *_ in classify(output, tmp_path, [0.0, 1.0])] == ["grüner hund", "cat"]


@pytest.mark.parametrize(("top_k", "count"), [(UNSET, 5), (1, 1), (3, 3), (8, 8), (100, 8)])
def test_top_k_is_five_unless_given_and_never_more_than_the_classes(
    top_k: int, count: int, tmp_path: Path
) -> None:
    assert len(classify(Output(top_k=top_k), tmp_path, [float(value) for value in range(8)])) == count


def test_equal_scores_keep_the_order_of_their_indices(tmp_path: Path) -> None:
    scores = [0.0] * 50
    scores[20] = scores[40] = 1.0
    found = classify(Output(top_k=50), tmp_path, scores)
    assert [index for _, index, _ in found] == [20, 40, *(i for i in range(50) if i not in (20, 40))]


@pytest.mark.parametrize("text", ["cat\n", "cat\ndog\nbird\n", ""])
def test_another_number_of_labels_than_outputs_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"labels has \d labels, the network 2 outputs"):
        classify(labels(tmp_path, text), tmp_path, [0.0, 1.0])


def test_labels_that_cannot_be_read_are_an_error_when_the_task_is_opened(tmp_path: Path) -> None:
    output = labels(tmp_path, "")
    (tmp_path / "labels.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(BadRecipe, match="save it as UTF-8"):
        open_task(recipe("classify", output), tmp_path)


def test_classify_refuses_what_is_no_list_of_scores(tmp_path: Path) -> None:
    for output in (torch.zeros(2, 2), torch.tensor(1.0)):
        with pytest.raises(ForwardFailed, match="one score for each class"):
            open_task(recipe("classify"), tmp_path).finish(output)


def regress(output: Output, raw: torch.Tensor) -> object:
    task = open_task(recipe("regress", output), Path())
    assert isinstance(task, Regress)
    answer = task.finish(raw)
    return answer.values, answer.names


def test_regress_gives_raw_values_or_the_targets_own_unit() -> None:
    assert regress(Output(), torch.tensor([1.5, -2.0])) == ([1.5, -2.0], [])
    assert regress(Output(mean=10.0, std=2.0), torch.tensor([1.5, -2.0])) == ([13.0, 6.0], [])
    assert regress(Output(mean=[10.0, 0.0], std=[2.0, 1.0]), torch.tensor([1.5, -2.0])) == ([13.0, -2.0], [])


def test_regress_takes_a_single_number_as_a_list_of_one() -> None:
    assert regress(Output(names=["price"]), torch.tensor(1.5)) == ([1.5], ["price"])


def test_regress_refuses_other_names_and_other_shapes() -> None:
    with pytest.raises(ForwardFailed, match="has 1 names, the network gave 2 values"):
        regress(Output(names=["price"]), torch.zeros(2))
    with pytest.raises(ForwardFailed, match=r"\[2, 2\]"):
        regress(Output(), torch.zeros(2, 2))


def test_tensor_gives_the_numbers_and_their_shape() -> None:
    task = open_task(recipe("tensor"), Path())
    assert isinstance(task, Tensor)
    answer = task.finish(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert (answer.output, answer.shape) == ([[1.0, 2.0], [3.0, 4.0]], [2, 2])
    assert task.finish(torch.tensor(0.5)).output == 0.5


def test_prepare_normalises_numbers_by_the_last_dimension_and_leaves_the_callers_array() -> None:
    task = open_task(recipe("tensor", tensor=TensorInput([2, 2], mean=[1.0, 2.0], std=[2.0, 4.0])), Path())
    values = np.array([[1, 2], [5, 10]], np.float32)
    assert task.prepare(Numbers(values)).tolist() == [[0, 0], [2, 2]]
    assert values.tolist() == [[1, 2], [5, 10]]


def test_prepare_keeps_whole_numbers_whole() -> None:
    task = open_task(recipe("tensor", tensor=TensorInput([1], dtype="int64")), Path())
    prepared = task.prepare(Numbers(np.array([2**62 + 1])))
    assert (prepared.dtype, prepared.item()) == (torch.int64, 2**62 + 1)


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (Numbers(np.array([1, np.nan], np.float32)), "not_finite"),
        (Numbers(np.array([1, -np.inf], np.float32)), "not_finite"),
        (EncodedImage(b"x"), "wrong_kind"),
        (BadInput("x", code="bad_base64"), "bad_base64"),
    ],
)
def test_prepare_refuses_what_is_not_finite_or_of_another_kind(item: object, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_task(recipe("tensor"), Path()).prepare(item)  # type: ignore[arg-type]
    assert caught.value.code == code


OWN_TASK = """
    import torch
    from handlers.tasks import Regress

    class Own(Regress):
        def prepare(self, item):
            return super().prepare(item) * 10

        def finish(self, output):
            values = output.tolist()
            return {"sum": sum(values), "ratio": values[0] / values[1] if values[1] else float("nan")}
"""


def test_a_task_of_the_folder_prepares_and_finishes(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", "return x", task_py=OWN_TASK, task="task.py:Own")
    (response,) = Handler.open(folder).predict([Row({"body": b"[1, 2]"})])
    assert (response.status, json.loads(response.body)) == (200, {"sum": 30, "ratio": 0.5})


def test_a_finish_that_gives_nan_is_the_items_error(tmp_path: Path) -> None:
    folder = tiny_models.write(tmp_path / "m", "return x", task_py=OWN_TASK, task="task.py:Own")
    responses = Handler.open(folder).predict([Row({"body": b"[1, 0]"}), Row({"body": b"[1, 2]"})])
    assert [response.status for response in responses] == [422, 200]
    assert json.loads(responses[0].body)["error"]["code"] == "output_not_finite"


def test_an_answer_may_hold_null(tmp_path: Path) -> None:
    task_py = """
        from handlers.tasks import Tensor
        class Own(Tensor):
            def finish(self, output):
                return {"best": None, "null": [float(output[0]), None]}
    """
    folder = tiny_models.write(tmp_path / "m", "return x", task_py=task_py, task="task.py:Own")
    (response,) = Handler.open(folder).predict([Row({"body": b"[1, 0]"})])
    assert (response.status, json.loads(response.body)) == (200, {"best": None, "null": [1.0, None]})


def test_an_answer_that_json_cannot_hold_is_our_fault(tmp_path: Path) -> None:
    task_py = """
        from handlers.tasks import Tensor
        class Own(Tensor):
            def finish(self, output):
                return {"it": object()}
    """
    folder = tiny_models.write(tmp_path / "m", "return x", task_py=task_py, task="task.py:Own")
    (response,) = Handler.open(folder).predict([Row({"body": b"[1, 0]"})])
    assert response.status == 500
    assert len(response.errors) == 1


def test_a_class_that_is_no_task_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("class Own: pass\n")
    with pytest.raises(BadRecipe, match="Own is no subclass of a task"):
        open_task(recipe("task.py:Own"), tmp_path)
