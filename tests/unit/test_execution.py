"""execution: what a worker leaves, the supervisor finds."""

from pathlib import Path

import pytest

from handlers import execution, failure, word
from handlers.execution import Execution


def test_what_is_left_is_found_of_each_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(word.FOLDER, str(tmp_path))
    plain, fallen = Execution("openvino"), Execution("eager", "openvino", "library")
    execution.leave("cat", "1.0", plain)
    execution.leave("cat", "1.1", fallen)
    assert execution.find(tmp_path, "cat", "1.0") == plain
    assert execution.find(tmp_path, "cat", "1.1") == fallen
    assert [str(one) for one in (plain, fallen)] == ["openvino", "eager (not openvino: library)"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failure_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(word.FOLDER, str(tmp_path))
    execution.leave("cat", "1.0", Execution("eager"))
    assert failure.find(tmp_path, "cat", "1.0") is None
    failure.leave("cat", "1.0", ValueError("odd"))
    assert execution.find(tmp_path, "cat", "1.0") == Execution("eager")


def test_what_is_cleared_or_never_was_isnt_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(word.FOLDER, str(tmp_path))
    execution.leave("cat", "1.0", Execution("eager"))
    for _ in range(2):
        execution.clear(tmp_path, "cat", "1.0")
        assert execution.find(tmp_path, "cat", "1.0") is None
    (tmp_path / "cat-1.0.json").write_text("half of")
    assert execution.find(tmp_path, "cat", "1.0") is None


def test_without_a_supervisor_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(word.FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    execution.leave("cat", "1.0", Execution("eager"))
    assert list(tmp_path.iterdir()) == []
