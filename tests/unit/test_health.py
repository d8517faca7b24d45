"""What values tell of training."""

import torch
from torch import nn

from scripts.inspection.health import Health, Nonfinite, examine

NAN, INF = float("nan"), float("inf")


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def trained() -> nn.Module:
    one = network()
    one(torch.randn(4, 1, 4, 4))
    return one


def test_a_trained_network_is_well() -> None:
    assert examine(trained().state_dict()) == Health(norms=1, batches=1)


def test_nan_and_inf_are_counted_by_name() -> None:
    state = trained().state_dict()
    state["3.weight"][0, :2] = NAN
    state["3.bias"][1] = INF
    assert examine(state).nonfinite == (Nonfinite("3.weight", 2, 0), Nonfinite("3.bias", 0, 1))


def test_zeros_are_told_but_for_biases_and_statistics() -> None:
    state = trained().state_dict()
    for name in ("0.weight", "0.bias", "1.running_mean"):
        state[name].zero_()
    state["position"] = torch.zeros(5, dtype=torch.int64)
    assert examine(state).zero == ("0.weight",)


def test_statistics_that_never_changed_mean_that_it_was_never_trained() -> None:
    seen = examine(network().state_dict())
    assert (seen.norms, seen.untrained, seen.batches) == (1, ("1",), 0)


def test_one_of_the_statistics_is_enough_to_have_been_trained() -> None:
    for name, value in (("1.running_mean", 0.1), ("1.running_var", 0.9)):
        state = network().state_dict()
        state[name][0] = value
        assert examine(state).untrained == ()


def test_the_busiest_counter_says_how_long_it_was_trained() -> None:
    state = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2)).state_dict()
    state["0.num_batches_tracked"] += 7
    state["1.num_batches_tracked"] += 1000
    assert examine(state).batches == 1000
    state["1.num_batches_tracked"] = torch.tensor([NAN])
    assert examine(state).batches == 7


def test_files_from_before_the_counter_are_not_blamed_for_its_absence() -> None:
    state = trained().state_dict()
    del state["1.num_batches_tracked"]
    assert examine(state) == Health(norms=1)


def test_a_batchnorm_of_one_channel_and_at_the_root_is_judged_like_any() -> None:
    assert examine(nn.BatchNorm2d(1).state_dict()).untrained == ("",)


def test_narrow_dtypes_are_told_once_each() -> None:
    state = {name: value.half() for name, value in nn.Linear(2, 2).state_dict().items()}
    state["extra"] = torch.ones(1, dtype=torch.bfloat16)
    assert examine(state).narrow == ("float16", "bfloat16")


def test_tied_tensors_are_each_judged() -> None:
    shared = torch.tensor([1.0, NAN])
    seen = examine({"encoder": shared, "decoder": shared, "other": torch.ones(1)})
    assert [one.name for one in seen.nonfinite] == ["encoder", "decoder"]


def test_work_on_overlapping_tensors_is_bounded_by_what_the_file_holds() -> None:
    """A thousand windows on the same memory: as many are looked at as REPEATS allows, the rest is named."""
    memory = torch.ones(1000)
    windows = {f"w{index}": memory[index:] for index in range(500)}
    seen = examine(windows)
    assert seen.unseen
    assert "w0" not in seen.unseen
    assert len(seen.unseen) > 490 - 2
