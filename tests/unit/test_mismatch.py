"""A state dict against a network: what differs, and the likeliest cause."""

import pytest

from handlers.mismatch import SHOWN, Mismatch, Shapes, cause, compare, describe, matches

WANTED = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "fc.weight": (10, 8), "fc.bias": (10,)}


def cause_of(saved: Shapes, wanted: Shapes = WANTED, args: dict[str, object] | None = None) -> str:
    found = compare(saved, wanted)
    assert found
    return cause(found, saved, wanted, args or {})


def test_equal_names_and_shapes_are_no_mismatch() -> None:
    assert not compare(WANTED, dict(reversed(WANTED.items())))
    assert describe(compare(WANTED, WANTED)) == ""


def test_each_difference_is_of_one_sort() -> None:
    saved = {"conv.weight": (8, 1, 3, 3), "conv.bias": (8,), "fc.weight": (10, 8), "extra": ()}
    assert compare(saved, WANTED) == Mismatch(
        missing={"fc.bias": (10,)},
        unexpected={"extra": ()},
        reshaped={"conv.weight": ((8, 1, 3, 3), (8, 3, 3, 3))},
    )


def test_patterns_allow_what_is_missing_or_unexpected_but_no_other_shape() -> None:
    saved = {"conv.weight": (8, 1, 3, 3), "conv.bias": (8,), "aux.weight": (2,)}
    found = compare(saved, WANTED, allow_missing=["fc.*", "conv.*"], allow_unexpected=["aux.*"])
    assert (found.missing, found.unexpected) == ({}, {})
    assert list(found.reshaped) == ["conv.weight"]


def test_patterns_are_those_of_a_shell_and_mind_case() -> None:
    assert matches("head.0.weight", ["head.*"])
    assert matches("head.0.weight", ["nothing", "*.weight"])
    assert not matches("head.0.weight", ["head"])
    assert not matches("head.0.weight", ["Head.*"])


def test_a_missing_step_counter_of_batch_norm_is_no_mismatch_but_an_unexpected_one_is() -> None:
    wanted = {"bn.weight": (4,), "bn.num_batches_tracked": ()}
    assert not compare({"bn.weight": (4,)}, wanted)
    assert compare(wanted, {"bn.weight": (4,)}).unexpected == {"bn.num_batches_tracked": ()}


def test_long_lists_are_counted() -> None:
    wanted = {f"layer{index}.weight": (2, 2) for index in range(SHOWN + 3)}
    told = describe(compare({}, wanted))
    assert told.startswith(f"{SHOWN + 3} missing from the checkpoint: layer0.weight [2, 2], ")
    assert told.count("[2, 2]") == SHOWN
    assert told.endswith(" and 3 more")


def test_another_head_is_told_with_the_argument_that_has_the_recipes_number() -> None:
    saved = WANTED | {"fc.weight": (2, 8), "fc.bias": (2,)}
    assert "set handler.architecture.args.num_classes to 2" in cause_of(saved)
    told = cause_of(saved, args={"width": 8, "classes": 10})
    assert told == (
        "the checkpoint's head (fc) has 2 outputs, the recipe's classes is 10: "
        "set handler.architecture.args.classes to 2"
    )


def test_a_flag_is_not_taken_for_a_number_of_outputs() -> None:
    wanted = WANTED | {"fc.weight": (1, 8), "fc.bias": (1,)}
    assert "args.num_out to 10" in cause_of(WANTED, wanted, {"bias": True, "num_out": 1})


def test_other_input_channels_are_told() -> None:
    told = cause_of(WANTED | {"conv.weight": (8, 1, 3, 3)})
    assert told.startswith("conv.weight of the checkpoint takes 1 inputs, the recipe builds 3: ")


@pytest.mark.parametrize("prefix", ["model.", "net.backbone."])
def test_a_common_prefix_is_told_even_among_other_weights(prefix: str) -> None:
    saved = {prefix + name: shape for name, shape in WANTED.items()} | {"loss.weight": (10,)}
    assert cause_of(saved).endswith(f"set handler.strip_prefix to {prefix!r}")


def test_a_prefix_of_some_names_only_is_not_taken_for_a_common_one() -> None:
    saved = {f"model.{name}": shape for name, shape in WANTED.items() if name != "fc.bias"}
    assert "strip_prefix" not in cause_of(saved)


def test_renamed_layers_are_told() -> None:
    saved = {name.replace("fc", "classifier"): shape for name, shape in WANTED.items()}
    assert "the shapes agree in order but the names don't" in cause_of(saved)


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"something": (1,)},
        WANTED | {"conv.bias": ()},
        WANTED | {"conv.weight": (8, 3, 5, 5)},
        WANTED | {"conv.weight": (8, 3, 3)},
        WANTED | {"conv.weight": (9, 3, 3, 3), "fc.weight": (9, 8)},
        {**WANTED, "fc.weight": (2, 8), "fc.bias": (2,), "more": (1,)},
    ],
    ids=["empty", "other", "scalar", "kernel", "dimensions", "two-layers", "head-and-more"],
)
def test_without_a_likely_cause_the_code_is_pointed_at(saved: Shapes) -> None:
    assert cause_of(saved) == "compare handler.architecture with the code that trained it"
