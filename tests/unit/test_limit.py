"""limit: half of what didn't fit, and more again when it has gone well for long."""

from handlers.limit import PATIENCE, Limit


def test_half_of_what_ran_out_of_memory_is_the_most_from_then_on() -> None:
    limit = Limit(8)
    assert (limit.size, limit.shortages) == (8, 0)
    sizes = []
    for items in (8, 4, 2, 1, 1):
        limit.short(items)
        sizes.append(limit.size)
    assert sizes == [4, 2, 1, 1, 1]
    assert limit.shortages == 5


def test_a_smaller_pass_that_ran_out_lowers_it_further_and_never_raises_it() -> None:
    limit = Limit(8)
    limit.short(3)
    assert limit.size == 1
    limit.short(8)
    assert limit.size == 1


def test_an_item_that_does_not_fit_alone_lowers_nothing() -> None:
    limit = Limit(8)
    limit.short(1)
    assert (limit.size, limit.shortages) == (8, 1)


def test_after_long_enough_twice_as_many_are_tried_up_to_the_recipes_size() -> None:
    limit = Limit(6)
    limit.short(6)
    limit.short(3)
    seen = []
    for _ in range(4):
        for _ in range(PATIENCE - 1):
            limit.passed(limit.size)
        seen.append(limit.size)
        limit.passed(limit.size)
    assert seen == [1, 2, 4, 6]
    assert limit.size == 6


def test_passes_below_the_limit_prove_nothing_and_a_shortage_begins_anew() -> None:
    limit = Limit(8)
    limit.short(8)
    for _ in range(3 * PATIENCE):
        limit.passed(3)
    assert limit.size == 4
    for _ in range(PATIENCE - 1):
        limit.passed(4)
    limit.short(8)
    limit.passed(4)
    assert limit.size == 4
