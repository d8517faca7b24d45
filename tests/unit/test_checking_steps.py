"""The steps of check and archive on small networks, each of which does one thing wrong."""

from __future__ import annotations

import itertools
import json
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from scripts.checking import steps
from scripts.checking.finding import Finding
from scripts.checking.steps import step
from scripts.checking.steps.trial import Trial
from scripts.places import ROOT

SOURCE = """\
import torch
import torchvision
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
{init}

    def forward(self, x):
{forward}

{more}
"""


class Model:
    """A model's folder, made of a few lines, and what the steps find in it."""

    def __init__(self, folder: Path, init: str, forward: str, more: str = "") -> None:
        self.folder = folder
        self.handler: dict[str, object] = {
            "name": "tiny",
            "version": "1.0",
            "task": "tensor",
            "architecture": {"class": "model.py:Net"},
            "weights": "weights.pth",
            "input": {"kind": "tensor", "shape": [4]},
        }
        self.batch_size = 4
        folder.mkdir(exist_ok=True)
        parts = {"init": _indented(init, 8), "forward": _indented(forward, 8), "more": _indented(more, 4)}
        (folder / "model.py").write_text(SOURCE.format(**parts))
        names: dict[str, type[nn.Module]] = {}
        exec((folder / "model.py").read_text(), names)
        torch.manual_seed(0)
        self.network = names["Net"]()
        self.save()

    def save(self) -> None:
        torch.save(self.network.state_dict(), self.folder / "weights.pth")

    def sample(self, name: str, values: object, **more: object) -> None:
        path = self.folder / name
        if isinstance(values, Image.Image):
            values.save(path)
        else:
            path.write_text(json.dumps({"input": values}))
        self.handler.setdefault("samples", []).append({"input": name, **more})  # type: ignore[attr-defined]

    def findings(self) -> list[Finding]:
        recipe = {"batchSize": self.batch_size, "handler": self.handler}
        (self.folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        trial = Trial(self.folder)
        return step.findings(trial, [*steps.REQUIRED, *steps.ADVISED])

    def told(self, verdict: str) -> dict[str, str]:
        """what -> detail of the findings with this verdict."""
        return {one.what: one.detail for one in self.findings() if one.verdict == verdict}


def _indented(lines: str, depth: int) -> str:
    return textwrap.indent(textwrap.dedent(lines), " " * depth)


LINEAR = "self.fc = nn.Linear(4, 3)"
RUN = "return self.fc(x)"


@pytest.fixture
def linear(tmp_path: Path) -> Model:
    return Model(tmp_path / "tiny", LINEAR, RUN)


def test_a_model_without_mistakes_passes_every_step(linear: Model) -> None:
    linear.sample("a.json", [1, 2, 3, 4], expect=linear.network(torch.tensor([1.0, 2, 3, 4])).tolist())
    found = linear.findings()
    assert {one.verdict for one in found if one.what != "labels"} == {"pass"}
    every = [one.what for one in (*steps.REQUIRED, *steps.ADVISED)]
    assert [one.what for one in found] == [what for what in every if what != "time"]
    assert not any(one.remedy for one in found)


def test_without_a_sample_the_input_is_made_up_and_proof_is_missing(linear: Model) -> None:
    found = {one.what: one for one in linear.findings()}
    assert found["samples"].verdict == "warn"
    assert "expect" in found["samples"].remedy
    assert found["input"].detail.startswith("random numbers becomes [4], 0.0")
    assert found["input scale"].verdict == "skip"


@pytest.mark.parametrize(
    ("forward", "what", "detail"),
    [
        ("return F.dropout(self.fc(x), 0.5)", "same answer twice", r"F.dropout(p=0.5) in Net (model.py:13)"),
        ("return self.fc(x) + torch.rand_like(x[:, :3])", "same answer twice", "rand_like() in Net"),
        ("x = self.fc(x); return x - x.mean(0)", "same answer in a batch", "neighbours in a batch of 4"),
        ("return self.fc(x).sum()", "forward pass", "for 1 items the network gave the shape []"),
        ("return self.fc(x) / 0", "finite output", "not finite"),
        ("return self.fc(x[:, :3])", "forward pass", "fails on an input of [4]: RuntimeError"),
        (
            "return self.fc(x).view(1, -1)",
            "same answer in a batch",
            "4 items the network gave the shape [1, 12]",
        ),
        ("torch.manual_seed(0); return F.dropout(self.fc(x), 0.5)", "same answer twice", "F.dropout(p=0.5)"),
    ],
)
def test_what_archive_refuses_fails(tmp_path: Path, forward: str, what: str, detail: str) -> None:
    failed = Model(tmp_path / "tiny", LINEAR, forward).told("fail")
    assert detail in failed[what]


@pytest.mark.parametrize(
    ("forward", "remedy"),
    [
        ("return self.fc(x, x)", "an item is one tensor here"),
        ("raise MemoryError('you tried to allocate memory')", "more memory than there is"),
        ("raise RuntimeError('Found no NVIDIA driver on your system')", "take x.device in forward"),
        ("raise SystemExit('no licence')", "it would end the worker"),
        ("return self.fc(x[:, :3])", "compare handler.input"),
        ("return x, x", "forward returns the tensor that matters"),
    ],
)
def test_what_fails_in_the_network_comes_with_a_remedy_that_fits(
    tmp_path: Path, forward: str, remedy: str
) -> None:
    tiny = Model(tmp_path / "tiny", LINEAR, forward)
    tiny.sample("a.json", [1, 2, 3, 4])
    (failed,) = [one for one in tiny.findings() if one.verdict == "fail"]
    assert failed.what == "forward pass"
    assert remedy in failed.remedy


def test_chance_that_is_rare_is_found_in_the_places_of_a_batch(tmp_path: Path) -> None:
    seldom = "torch.manual_seed(0); mask = torch.arange(len(x)) != 3; return self.fc(x) * mask[:, None]"
    assert Model(tmp_path / "tiny", LINEAR, seldom).told("fail").keys() == {"same answer twice"}


def test_weights_that_are_not_finite_are_named(linear: Model) -> None:
    linear.network.fc.weight.data[0, 0] = float("nan")  # type: ignore[union-attr, operator, index]
    linear.save()
    assert "fc.weight holds NaN" in linear.told("fail")["finite output"]


def test_one_cause_is_not_told_again_by_every_sample(linear: Model) -> None:
    classify(linear, labels=["a"])
    linear.sample("a.json", [1, 2, 3, 4])
    assert linear.told("fail").keys() == {"answer"}
    assert linear.told("skip")["samples"] == "not tried: answer didn't pass"


def test_an_answer_that_json_cannot_hold_is_refused(linear: Model) -> None:
    (linear.folder / "task.py").write_text(
        "from handlers.tasks import Tensor\n\nclass Own(Tensor):\n"
        "    def finish(self, output):\n        return object()\n"
    )
    linear.handler["task"] = "task.py:Own"
    assert "the task fails on an output of [3]: TypeError" in linear.told("fail")["answer"]


COLUMN = "self.kind = nn.Embedding(3, 4); self.fc = nn.Linear(7, 3)"
USES_COLUMN = "return self.fc(torch.cat([self.kind(x[:, 0].long()), x[:, 1:]], 1))"


def test_inputs_that_are_made_up_and_refused_are_no_fault_of_the_network(tmp_path: Path) -> None:
    tiny = Model(tmp_path / "tiny", COLUMN, USES_COLUMN)
    tiny.sample("a.json", [2, 7.5, 30, 1])  # the first column is one of three kinds
    tiny.sample("b.json", [1, 3.5, 40, 1])
    found = tiny.findings()
    assert not [one for one in found if one.verdict in ("warn", "fail")]
    assert not [one for one in found if "can't be told" in one.detail]


def test_a_batch_that_takes_longer_than_torchserve_waits_is_told(
    linear: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 121)
    monkeypatch.setattr("scripts.checking.steps.trial.perf_counter", lambda: next(clock))
    found = {one.what: one for one in linear.findings()}
    assert found["time"].detail == "a batch of 4 takes 121 s here, and after 120 s TorchServe ends the worker"
    assert found["time"].remedy == "raise responseTimeout, or lower batchSize"


def test_a_failing_step_hides_nothing_that_can_still_run(linear: Model) -> None:
    linear.handler["task"] = "classify"
    linear.handler["output"] = {"labels": ["a", "b", "b"]}
    linear.sample("a.json", [1, 2, 3, 4])
    (linear.folder / "weights.pth").write_bytes(b"no checkpoint")
    found = linear.findings()
    verdicts = {one.what: one.verdict for one in found}
    assert verdicts["weights"] == "fail"
    assert [verdicts[name] for name in ("task", "input", "labels")] == ["pass", "pass", "warn"]
    skipped = {one.detail for one in found if one.verdict == "skip"}
    assert skipped == {"not tried: weights didn't pass"}


def test_weights_that_do_not_fit_are_the_architectures_fault(linear: Model) -> None:
    torch.save(nn.Linear(4, 3).state_dict(), linear.folder / "weights.pth")
    found = linear.told("fail")
    assert set(found) == {"architecture"}
    assert "fc.weight" in found["architecture"]
    linear.handler["allow_missing"] = ["fc.*"]
    linear.handler["allow_unexpected"] = ["weight", "bias"]
    assert linear.told("pass")["architecture"] == "model.py:Net() takes them but for fc.*, weight, bias"


def test_a_pickle_that_would_run_is_refused_before_anything_is_built(linear: Model) -> None:
    torch.save({"fc.weight": Evil(linear.folder / "ran")}, linear.folder / "weights.pth")
    failed = linear.told("fail")
    assert set(failed) == {"weights"}
    assert "open" in failed["weights"]
    assert not (linear.folder / "ran").exists()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


def test_formats_are_told_by_name(linear: Model) -> None:
    assert linear.told("pass")["weights"].startswith("PyTorch file, 2 tensors")
    torch.save(
        linear.network.state_dict(), linear.folder / "weights.pth", _use_new_zipfile_serialization=False
    )
    assert linear.told("pass")["weights"].startswith("PyTorch file from before 1.6, 2 tensors")
    from safetensors.torch import save_file

    save_file(linear.network.state_dict(), linear.folder / "weights.pth")
    assert linear.told("pass")["weights"].startswith("safetensors, 2 tensors")


def test_each_sample_tells_how_it_did(linear: Model) -> None:
    def expected(*values: float) -> list[float]:
        answered: list[float] = linear.network(torch.tensor(values, dtype=torch.float32)).tolist()
        return answered

    linear.sample("good.json", [1, 2, 3, 4], expect=expected(1, 2, 3, 4))
    linear.sample("wrong.json", [4, 3, 2, 1], expect=[9.0, 9.0, 9.0])
    linear.sample("short.json", [4, 3, 2], expect=[9.0, 9.0, 9.0])
    linear.sample("new.json", [0, 0, 0, 1])
    linear.sample("last.json", [1, 1, 1, 1], expect=expected(1, 1, 1, 1))
    found = [one for one in linear.findings() if one.what == "samples"]
    assert [one.verdict for one in found] == ["pass", "fail", "fail", "pass", "pass"]
    good, wrong, short, new, _ = [one.detail for one in found]
    assert good.startswith("good.json: differs by ")
    assert wrong.startswith("sample wrong.json (alone): expected 9, got ")
    assert short.startswith("sample short.json: ")
    assert new == "new.json: has no `expect`; `archive` keeps the answer of now"


def test_a_recorded_answer_is_shown_as_our_own(linear: Model) -> None:
    linear.sample("a.json", [1, 2, 3, 4])
    np.save(linear.folder / "a.json.recorded.npy", linear.network(torch.tensor([1.0, 2, 3, 4])).detach())
    assert linear.told("pass")["samples"].startswith("a.json: self-recorded, differs by ")


def test_files_that_are_not_there_are_no_second_finding(linear: Model) -> None:
    linear.sample("a.json", [1, 2, 3, 4])
    (linear.folder / "a.json").unlink()
    (linear.folder / "weights.pth").unlink()
    found = linear.findings()
    assert not [one for one in found if one.verdict == "fail"]
    skipped = {one.what: one.detail for one in found if one.verdict == "skip"}
    assert skipped["weights"] == "weights.pth isn't there"
    assert skipped["input"] == "a.json isn't there"


def test_dropout_that_changes_nothing_measurable_is_found_with_its_line(tmp_path: Path) -> None:
    tiny = Model(tmp_path / "tiny", LINEAR, "x = self.fc(x)\nreturn x + 1e-9 * F.dropout(x, p=0.2)")
    found = tiny.told("warn")
    assert found["dropout"] == "active or random in eval mode: F.dropout(p=0.2) in Net (model.py:14)"
    assert not tiny.told("fail")


@pytest.mark.parametrize(
    "forward",
    [
        "return self.fc(F.dropout(x, 0.5, self.training))",
        "return self.fc(F.dropout(x, p=0.0, training=True))",
        "return self.fc(nn.Dropout(0.5).eval()(x))",
    ],
)
def test_dropout_that_is_off_is_none(tmp_path: Path, forward: str) -> None:
    passed = Model(tmp_path / "tiny", LINEAR, forward).told("pass")
    assert passed["dropout"] == "is off, and no random numbers are drawn"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("torch.dropout(x, 0.3, True)", "torch.dropout(p=0.3)"),
        ("torch.dropout(x, p=0.3, train=True)", "torch.dropout(p=0.3)"),
        ("F.alpha_dropout(x, 0.3, True)", "F.alpha_dropout(p=0.3)"),
        (
            "F.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.3)[0]",
            "F.scaled_dot_product_attention(dropout_p=0.3)",
        ),
        ("torch.bernoulli(x.sigmoid())", "bernoulli()"),
        ("x.clone().uniform_()", "uniform_()"),
        ("torchvision.ops.stochastic_depth(x, 0.3, 'row', True)", "bernoulli_()"),
    ],
)
def test_every_kind_of_chance_is_seen(tmp_path: Path, call: str, told: str) -> None:
    tiny = Model(tmp_path / "tiny", LINEAR, f"x = self.fc(x)\nreturn x + 1e-9 * {call}")
    assert f"{told} in Net (model.py:14)" in tiny.told("warn")["dropout"]


def test_random_numbers_come_with_another_remedy_than_dropout(tmp_path: Path) -> None:
    tiny = Model(tmp_path / "tiny", LINEAR, "torch.randn(3); return self.fc(x)")
    (found,) = [one for one in tiny.findings() if one.what == "dropout"]
    assert "randn() in Net" in found.detail
    assert "F.dropout" not in found.remedy


def test_a_module_that_forward_puts_into_training_is_named(tmp_path: Path) -> None:
    tiny = Model(
        tmp_path / "tiny",
        f"{LINEAR}; self.drop = nn.Dropout(0.5)",
        "x = self.drop.train()(self.fc(x)); self.drop.eval(); return x",
    )
    found = {one.what: one for one in tiny.findings() if one.verdict != "pass"}
    assert "F.dropout(p=0.5) in drop (Dropout) (model.py:13)" in found["same answer twice"].detail
    assert "drop (Dropout)" in found["eval mode"].detail


def test_a_train_of_its_own_that_keeps_training_is_found(tmp_path: Path) -> None:
    tiny = Model(
        tmp_path / "tiny",
        f"{LINEAR}; self.norm = nn.BatchNorm1d(3)",
        "return self.norm(self.fc(x))",
        "def train(self, mode=True):\n    return super().train(True)",
    )
    tiny.network.norm.running_mean.fill_(0.5)  # type: ignore[union-attr, operator]
    tiny.save()
    tiny.batch_size = 2
    found = {one.what: one for one in tiny.findings() if one.verdict in ("warn", "fail")}
    assert "the network (Net), fc (Linear), norm (BatchNorm1d)" in found["eval mode"].detail
    assert found["forward pass"].detail.startswith("the network fails")  # one value for each channel


NORMED = """\
self.conv = nn.Conv2d(1, 4, 3, bias=False)
self.norm = nn.BatchNorm2d(4{args})
self.fc = nn.Linear(4, 2)"""
RUN_NORMED = "return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))"


def normed(folder: Path, forward: str = RUN_NORMED, args: str = "", scale: float = 1.0) -> Model:
    """A small network on grey pictures, whose BatchNorm has seen inputs of this scale."""
    tiny = Model(folder / "tiny", NORMED.format(args=args), forward)
    tiny.handler["input"] = {"kind": "image", "mode": "L", "resize": [8, 8]}
    for index in range(2):
        tiny.sample(f"{index}.png", picture(index))
    if not args:
        batch = torch.stack([pixels(index) for index in range(20)])[:, None] * scale
        tiny.network.train()
        tiny.network.norm.momentum = None  # type: ignore[union-attr]
        tiny.network(batch)
        tiny.save()
    return tiny


def pixels(seed: int) -> torch.Tensor:
    """float32 [8, 8] between 0 and 1."""
    return torch.rand((8, 8), generator=torch.Generator().manual_seed(seed))


def picture(seed: int) -> Image.Image:
    return Image.fromarray((pixels(seed) * 255).to(torch.uint8).numpy())


def test_batch_norm_that_uses_the_batch_at_hand_is_found_even_with_batches_of_one(tmp_path: Path) -> None:
    tiny = normed(tmp_path, args=", track_running_stats=False")
    tiny.batch_size = 1
    found = tiny.told("warn")
    assert found["BatchNorm"].endswith("instead of training's statistics: norm (BatchNorm2d)")
    tiny.batch_size = 4
    assert "BatchNorm in norm (BatchNorm2d)" in tiny.told("fail")["same answer in a batch"]


@pytest.mark.parametrize(
    ("norm", "told"),
    [
        ("nn.GroupNorm(2, 4)", "there is none"),
        ("nn.InstanceNorm2d(4)", "there is none"),
        ("nn.InstanceNorm2d(4, track_running_stats=True)", "1 layers use training's statistics"),
        ("torchvision.ops.FrozenBatchNorm2d(4)", "there is none"),
    ],
)
def test_other_norms_are_no_batch_norm_at_fault(tmp_path: Path, norm: str, told: str) -> None:
    init = NORMED.format(args="").replace("nn.BatchNorm2d(4)", norm)
    tiny = Model(tmp_path / "tiny", init, RUN_NORMED)
    tiny.handler["input"] = {"kind": "image", "mode": "L", "resize": [8, 8]}
    tiny.sample("a.png", picture(0))
    if hasattr(tiny.network.norm, "running_mean") and tiny.network.norm.running_mean is not None:
        tiny.network.norm.running_mean.fill_(0.5)  # type: ignore[union-attr, operator]
        tiny.save()
    assert tiny.told("pass")["BatchNorm"] == told


def test_running_statistics_that_serving_changes_are_named(tmp_path: Path) -> None:
    tiny = normed(tmp_path, "self.norm.train(); " + RUN_NORMED)
    tiny.batch_size = 1
    told = [one.detail for one in tiny.findings() if one.what == "BatchNorm" and one.verdict == "warn"]
    assert len(told) == 2
    assert "a forward pass changes norm.running_mean, norm.running_var" in told[1]


def test_batch_norm_that_never_saw_an_input_is_told(tmp_path: Path) -> None:
    tiny = normed(tmp_path)
    assert tiny.told("pass")["BatchNorm"] == "1 layers use training's statistics"
    tiny.network.norm.reset_running_stats()  # type: ignore[union-attr, operator]
    tiny.save()
    assert "running_mean is 0 and running_var 1 everywhere (1 layers)" in tiny.told("warn")["BatchNorm"]
    assert "input scale" not in tiny.told("warn")


@pytest.mark.parametrize(
    ("trained", "rescale", "told"),
    [
        (1.0, 1 / 255, ""),
        (1.0, 1.0, "0..255 fed to a model trained on 0..1"),
        (255.0, 1.0, ""),
        (255.0, 1 / 255, "scaled twice"),
        (1.0, 20 / 255, "times as strong as in training (over 2 samples)"),
        (1.0, 2 / 255, ""),
    ],
)
def test_scale_is_judged_by_what_batch_norm_remembers(
    tmp_path: Path, trained: float, rescale: float, told: str
) -> None:
    tiny = normed(tmp_path, scale=trained)
    tiny.handler["input"] = {"kind": "image", "mode": "L", "resize": [8, 8], "rescale_factor": rescale}
    (found,) = [one for one in tiny.findings() if one.what == "input scale"]
    assert found.verdict == ("warn" if told else "pass")
    assert told in found.detail
    assert bool(found.remedy) == bool(told)


def test_the_factor_is_the_one_between_samples_and_training(tmp_path: Path) -> None:
    tiny = normed(tmp_path, scale=4.0)
    told = tiny.told("pass")["input scale"]
    factor = float(told.partition(" is ")[2].split()[0])
    assert factor == pytest.approx(0.25, rel=0.1)


def first_normed(folder: Path, trained: torch.Tensor) -> Model:
    """BatchNorm over the columns of a table, as it is after these rows."""
    tiny = Model(
        folder / "tiny",
        "self.norm = nn.BatchNorm1d(4); self.fc = nn.Linear(4, 3)",
        "return self.fc(self.norm(x))",
    )
    tiny.network.train()
    tiny.network.norm.momentum = None  # type: ignore[union-attr]
    tiny.network(trained)
    tiny.save()
    return tiny


def test_rows_of_a_table_may_be_all_zeros(tmp_path: Path) -> None:
    drawn = torch.rand(1000, 4, generator=torch.Generator().manual_seed(0))
    tiny = first_normed(tmp_path, 10.0 * (drawn < 0.05))
    tiny.sample("a.json", [0, 0, 0, 0.1])
    tiny.sample("b.json", [0, 0, 0, 0])
    assert tiny.told("pass")["input scale"].endswith("they are too few to tell more")


def test_numbers_that_are_far_too_large_are_told_in_words_of_numbers(tmp_path: Path) -> None:
    tiny = first_normed(tmp_path, torch.randn(1000, 4, generator=torch.Generator().manual_seed(0)))
    tiny.sample("a.json", [100, -200, 300, 50])
    (found,) = [one for one in tiny.findings() if one.what == "input scale"]
    assert found.verdict == "warn"
    assert "255" not in found.detail + found.remedy


def test_a_network_that_was_trained_on_flat_pictures_is_not_suspected(tmp_path: Path) -> None:
    tiny = normed(tmp_path, scale=1 / 255)
    tiny.handler["input"] = {"kind": "image", "mode": "L", "resize": [8, 8], "rescale_factor": 1 / 255**2}
    assert "input scale" not in tiny.told("warn")


def ours(folder: Path, name: str, **changed: object) -> Model:
    """A model of models/, prepared otherwise than in training."""
    shutil.copytree(ROOT / "models" / name, folder / name)
    tiny = Model.__new__(Model)
    tiny.folder, tiny.batch_size = folder / name, 2
    tiny.handler = yaml.safe_load((folder / name / "recipe.yaml").read_text())["handler"]
    declared = tiny.handler["input"]
    image: dict[str, object] = declared[0] if isinstance(declared, list) else declared  # type: ignore[assignment]
    given = {key: value for key, value in {**image, **changed}.items() if value is not None}
    tiny.handler["input"] = given
    return tiny


@pytest.mark.parametrize(
    ("rescale", "told"),
    [
        (1 / 255, ""),
        (1.0, "within 509 of 0 and outputs reach 1.27e+04: very likely not scaled as in training"),
        (1 / 255**2, "very likely scaled twice"),
    ],
)
def test_without_batch_norm_scale_is_judged_by_inputs_and_outputs(
    tmp_path: Path, rescale: float, told: str
) -> None:
    warned = ours(tmp_path, "digits_cnn", rescale_factor=rescale).told("warn")
    assert told in warned.get("input scale", "")
    assert ("input scale" in warned) == bool(told)


PUBLISHED = ROOT / "models" / "mobilenet_v2" / "mobilenet_v2-b0353104.pth"


@pytest.mark.skipif(
    not PUBLISHED.is_file(), reason="scripts/pthserve archive mobilenet_v2 fetches its weights"
)
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, ""),
        ({"rescale_factor": 1.0}, "435 times as strong as in training (over 2 samples): 0..255 fed"),
        ({"rescale_factor": 1.0, "mean": None, "std": None}, "99.7 times as strong"),
        ({"rescale_factor": 1 / 255**2}, "very likely scaled twice"),
        ({"rescale_factor": 1 / 255**2, "mean": None, "std": None}, "very likely scaled twice"),
    ],
)
def test_published_weights_tell_what_they_were_trained_on(
    tmp_path: Path, changed: dict[str, object], told: str
) -> None:
    warned = ours(tmp_path, "mobilenet_v2", **changed).told("warn")
    assert told in warned.get("input scale", "")
    assert ("input scale" in warned) == bool(told)


def test_channels_that_differ_do_not_hide_a_picture_that_is_scaled_twice(tmp_path: Path) -> None:
    tiny = ours(tmp_path, "digits_cnn", rescale_factor=1 / 255**2, mean=[0.1, 0.4, 0.9])
    assert "differ by 0.0078 at most" in tiny.told("warn")["input scale"]


@pytest.mark.parametrize("task", ["tensor", "regress"])
def test_large_numbers_alone_are_no_mistake(linear: Model, task: str) -> None:
    linear.handler["task"] = task
    linear.sample("a.json", [1000, 2, 3, 4])
    assert "input scale" not in linear.told("warn")


def test_outputs_far_beyond_a_standardised_target_are(linear: Model) -> None:
    linear.handler |= {"task": "regress", "output": {"mean": 5.0, "std": 2.0}}
    linear.sample("a.json", [1000, 2, 3, 4])
    assert "very likely not scaled" in linear.told("warn")["input scale"]


def classify(tiny: Model, **output: object) -> Model:
    tiny.handler |= {"task": "classify", "output": output}
    return tiny


@pytest.mark.parametrize(
    ("forward", "output", "told"),
    [
        ("return self.fc(x).softmax(1)", {}, "softmax is applied twice"),
        ("return self.fc(x).softmax(1)", {"activation": "sigmoid"}, "sigmoid is applied twice"),
        ("return self.fc(x).sigmoid()", {}, "softmax is applied on top of sigmoid"),
        ("return self.fc(x.square().mean(1, keepdim=True).expand(-1, 4))", {}, ""),
        ("return self.fc(x).sigmoid()", {"activation": "sigmoid"}, "sigmoid is applied twice"),
        ("return self.fc(x)[:, :1]", {}, "every answer has the score 1"),
        ("return self.fc(x * 0)", {}, "are the same for"),
        ("return self.fc(x)", {}, ""),
        ("return self.fc(x).log_softmax(1)", {}, ""),
        ("return self.fc(x)[:, :1]", {"activation": "sigmoid"}, ""),
    ],
)
def test_outputs_tell_of_an_activation_too_many(
    tmp_path: Path, forward: str, output: dict[str, object], told: str
) -> None:
    warned = classify(Model(tmp_path / "tiny", LINEAR, forward), **output).told("warn")
    assert told in warned.get("outputs", "")
    assert ("outputs" in warned) == bool(told)


@pytest.mark.parametrize("bounds", [{}, {"minimum": 0, "maximum": 49}])
def test_words_whose_order_means_nothing_are_no_constant(tmp_path: Path, bounds: dict[str, int]) -> None:
    words = "self.words = nn.EmbeddingBag(50, 4); self.fc = nn.Linear(4, 3)"
    tiny = classify(Model(tmp_path / "tiny", words, "return self.fc(self.words(x))"))
    tiny.handler["input"] = {"kind": "tensor", "shape": [8], "dtype": "int64", **bounds}
    assert tiny.told("warn").keys() == {"samples"}


def test_inputs_that_are_alike_prove_no_constant(linear: Model) -> None:
    linear.sample("a.json", [0, 0, 0, 0])
    assert linear.told("skip")["outputs"] == "needs 3 different inputs that give outputs of one size"


@pytest.mark.parametrize(("count", "verdict"), [(2, "fail"), (3, "pass"), (4, "fail")])
def test_labels_are_as_many_as_outputs(linear: Model, count: int, verdict: str) -> None:
    classify(linear, labels=["a", "b", "c", "d"][:count])
    found = {one.what: one for one in linear.findings()}
    assert found["answer"].verdict == verdict
    assert f"{count} labels" in found["answer"].detail


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["a", "b", "b"], "'b' 2 times"),
        (["a", "", "c"], "empty 1 times"),
        (["", "", ""], "empty 3 times"),
    ],
)
def test_labels_that_cannot_be_told_apart(linear: Model, labels: list[str], told: str) -> None:
    assert classify(linear, labels=labels).told("warn")["labels"] == told


def test_a_labels_file_may_end_in_blank_lines(linear: Model) -> None:
    (linear.folder / "labels.txt").write_text("a\nb\nc\n\n\n")
    found = classify(linear, labels="labels.txt").told("pass")
    assert found["labels"] == "3, each its own"
    assert found["answer"] == "3 outputs, 3 labels"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_inside_torchscript_is_not_guessed_at(linear: Model) -> None:
    linear.sample("a.json", [1, 2, 3, 4])
    torch.jit.trace(linear.network.eval(), torch.zeros(1, 4)).save(linear.folder / "weights.pth")
    del linear.handler["architecture"]
    found = linear.findings()
    assert not [one for one in found if one.verdict == "fail"]
    skipped = {one.what for one in found if one.detail == "nobody sees inside TorchScript"}
    assert skipped == {"dropout", "BatchNorm", "input scale", "outputs"}


def test_looking_for_mistakes_never_fails_a_model(linear: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("nothing to do with the model")

    monkeypatch.setattr("scripts.checking.steps.mistakes.watched", broken)
    found = linear.findings()
    assert not [one for one in found if one.verdict == "fail"]
    assert {one.what for one in found if "can't be told (KeyError" in one.detail} == {
        "dropout",
        "BatchNorm",
        "outputs",
    }


@pytest.mark.parametrize("name", ["diabetes", "diabetes_risk", "digits_cnn", "digits_mlp"])
def test_no_model_of_ours_is_suspected(name: str) -> None:
    trial = Trial(ROOT / "models" / name)
    found = step.findings(trial, [*steps.REQUIRED, *steps.ADVISED])
    assert not [one for one in found if one.verdict in ("warn", "fail")]
