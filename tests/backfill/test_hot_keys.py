"""Hot keys: heats as the definition has them, bounded in memory, and finite whatever comes."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill.backfill._history.hot_keys import HotKeys
from tests.turns import Turns

half_lives = st.floats(1.0, 1e6)
some_keys = st.sampled_from("abcdefgh")
steps = st.one_of(
    st.lists(some_keys, max_size=5).map(lambda keys: ("note", keys)),
    st.integers(0, 50).map(lambda lookups: ("skip", lookups)),
    st.lists(some_keys, max_size=3).map(lambda keys: ("drop", keys)),
    st.just(("restore own", None)),
)


class NaiveHeats:
    """The definition, word for word: all lookups are remembered, and each counts by its age."""

    def __init__(self, half_life):
        self.half_life = half_life
        self.now = 0
        self.lookups = {}

    def take(self, step, argument):
        match step:
            case "note":
                for key in argument:
                    self.now += 1
                    self.lookups.setdefault(key, []).append(self.now)
            case "skip":
                self.now += argument
            case "drop":
                for key in argument:
                    self.lookups.pop(key, None)

    def heats(self):
        return {
            key: sum(2.0 ** -((self.now - then) / self.half_life) for then in lookups)
            for key, lookups in self.lookups.items()
        }


def hottest(hot):
    return sorted(hot, key=hot.heat, reverse=True)


def take(hot, step, argument):
    match step:
        case "note":
            hot.note(argument)
        case "skip":
            hot.skip(argument)
        case "drop":
            hot.drop(argument)
        case "restore own":
            hot.restore(hot.heats())


@given(half_life=half_lives, story=st.lists(steps, max_size=40))
def test_while_nothing_is_pushed_out_the_heats_are_those_of_the_definition(half_life, story):
    hot, naive = HotKeys(8, half_life), NaiveHeats(half_life)
    for step, argument in story:
        take(hot, step, argument)
        naive.take(step, argument)
        assert hot.heats() == pytest.approx(naive.heats(), rel=1e-9)


@given(size=st.integers(1, 5), half_life=half_lives, story=st.lists(steps, max_size=60))
def test_there_are_never_more_keys_than_its_size_and_never_much_more_bookkeeping(size, half_life, story):
    hot = HotKeys(size, half_life)
    for step, argument in story:
        take(hot, step, argument)
        assert len(hot) <= size
        assert len(hot._table._hashes) <= size + 1
        assert len(hot._table._lowest) <= 2 + 65


@given(size=st.integers(1, 5), half_life=half_lives, keys=st.lists(some_keys, max_size=80))
def test_the_key_that_a_new_one_pushes_out_is_a_coldest_one(size, half_life, keys):
    hot = HotKeys(size, half_life)
    for key in keys:
        before = hot.heats()
        hot.note([key])
        for gone in before.keys() - hot.heats().keys():
            assert before[gone] <= min(before.values()) * (1 + 1e-9)


def test_a_lookup_that_is_a_half_life_old_counts_half():
    hot = HotKeys(10, half_life=100.0)
    hot.note(["old"])
    hot.note(itertools.repeat("other", 100))
    hot.note([])

    assert hot.heats()["old"] == pytest.approx(0.5)
    hot.note(["old"])
    assert hot.heats()["old"] == pytest.approx(1.0 + 0.5 ** (101 / 100))


def test_a_key_that_is_asked_for_all_the_time_is_as_hot_as_its_half_life_allows():
    hot = HotKeys(10, half_life=100.0)
    hot.note(itertools.repeat("always", 10_000))

    assert hot.heats()["always"] == pytest.approx(1.0 / (1.0 - 0.5 ** (1 / 100)))


def test_the_hottest_come_first_recent_before_frequent_only_when_long_ago():
    hot = HotKeys(10, half_life=10.0)
    hot.note(["often"] * 8)
    hot.note(["now"])
    assert hottest(hot) == ["often", "now"]
    hot.skip(100)
    hot.note(["now"])

    assert hottest(hot) == ["now", "often"]


def test_lookups_that_are_skipped_age_the_others():
    noted, skipped = HotKeys(10, half_life=7.0), HotKeys(10, half_life=7.0)
    for hot in (noted, skipped):
        hot.note(["a", "b"])
    noted.note(itertools.repeat("c", 25))
    skipped.skip(25)

    assert skipped.heats()["a"] == pytest.approx(noted.heats()["a"])


@pytest.mark.parametrize("lookups", [1, 250, 299, 301, 5_000, 10**9, 10**30])
def test_however_often_and_far_it_skips_every_heat_stays_a_number(lookups):
    hot = HotKeys(10, half_life=1.0)
    hot.note(["a"])
    for _ in range(10):
        hot.skip(lookups)
    hot.note(["b", "b"])

    heats = hot.heats()
    assert all(math.isfinite(heat) for heat in heats.values())
    assert heats["b"] == pytest.approx(1.5)
    assert hottest(hot) == ["b", "a"]


def test_with_a_tiny_half_life_and_very_many_lookups_every_heat_stays_a_number():
    hot = HotKeys(50, half_life=1.0)
    draw = random.Random(1)
    hot.note(draw.randrange(200) for _ in range(100_000))
    hot.note(["last"])

    heats = hot.heats()
    assert len(heats) == 50
    assert all(0.0 <= heat <= 2.0 for heat in heats.values())
    assert hottest(hot)[0] == "last"


def test_with_a_long_half_life_a_million_lookups_are_counted():
    hot = HotKeys(2, half_life=1e12)
    hot.note(itertools.islice(itertools.cycle("aab"), 900_000))

    assert hot.heats() == pytest.approx({"a": 600_000, "b": 300_000}, rel=1e-5)


@given(
    heats=st.dictionaries(st.integers(), st.floats(0.0, 1e9), max_size=20),
    size=st.integers(1, 25),
)
def test_what_is_restored_comes_back_and_of_too_many_the_hottest(heats, size):
    hot = HotKeys(size, half_life=100.0)
    hot.note([-1, -2])
    hot.restore(heats)

    kept = hot.heats()
    assert kept.items() <= heats.items()
    assert sorted(kept.values()) == sorted(heats.values())[-size:]


@pytest.mark.anyio
@given(
    heats=st.dictionaries(st.integers(), st.floats(0.0, 1e9), max_size=20),
    size=st.integers(1, 25),
)
async def test_restored_in_steps_it_is_what_it_is_restored_at_once(heats, size):
    at_once, in_steps = HotKeys(size, half_life=100.0), HotKeys(size, half_life=100.0)
    in_steps.note([-1, -2])
    at_once.restore(heats)
    await in_steps.restore_in_steps(heats)

    assert in_steps.heats() == at_once.heats()


@pytest.mark.anyio
async def test_many_keys_are_restored_while_other_tasks_run_and_appear_at_the_end():
    hot, turns = HotKeys(20_000, half_life=100.0), Turns()
    hot.note(["old"])
    heats = {number: float(number) for number in range(30_000)}

    class Counted(dict):
        def items(self):
            for item in heats.items():
                assert list(hot) == ["old"]
                yield turns.count(item)

    async with turns.watched():
        await hot.restore_in_steps(Counted())

    assert turns.most <= 4 * 2000  # trio does not take turns in order
    assert set(hot) == set(range(10_000, 30_000))


def test_a_new_key_brings_few_outdated_heats_up_to_date_and_the_hottest_stay():
    size = 80 * 128
    hot = HotKeys(size, half_life=1e6)
    for _ in range(2):
        hot.note(range(size))
    hot_ones = range(10 * 128, 64 * 128)  # those of whole blocks, all looked at by the first search
    hot.note([*hot_ones] * 5)

    for new in range(size, size + 200):
        before = frozenset(hot._table._lowest)
        hot.note([new])
        assert len(before.symmetric_difference(hot._table._lowest)) <= 2 * (64 + 2)
    assert set(hot_ones) <= set(hot)


def test_of_equally_hot_keys_those_that_came_first_leave_first():
    hot = HotKeys(300, half_life=1e300)
    hot.note(range(1000))

    assert set(hot) == set(range(700, 1000))


def test_two_keys_of_one_hash_are_two_keys_and_equal_ones_are_one():
    hot = HotKeys(10, half_life=1e300)
    hot.note([-1, -2, 1, 1.0, True])

    assert hash(-1) == hash(-2)
    assert hot.heats() == {-1: 1.0, -2: 1.0, 1: 3.0}


def test_a_heat_that_is_no_number_is_not_restored():
    hot = HotKeys(2, half_life=10.0)
    hot.restore({"a": math.inf, "b": math.nan, "c": 1.0})
    hot.note(["d", "e"])

    assert list(hot.heats()) == ["e", "d"]


def test_the_heats_stay_as_they_were_whatever_is_noted_afterwards():
    hot = HotKeys(2, half_life=10.0)
    hot.note(["a", "a", "b"])
    heats, before = hot.heats(), dict(hot.heats())
    hot.note(["b", "c", "c"])
    hot.drop(["b"])
    hot.skip(10_000)

    assert heats == before


def test_after_a_restore_old_heat_and_new_lookups_add_up():
    hot = HotKeys(10, half_life=10.0)
    hot.restore({"a": 4.0, "b": 1.0})
    hot.skip(9)
    hot.note(["b"])

    assert hot.heats() == pytest.approx({"a": 2.0, "b": 1.5})


def test_a_key_that_is_dropped_is_forgotten_and_a_key_that_is_not_there_is_ignored():
    hot = HotKeys(3, half_life=100.0)
    hot.note(["a"] * 5 + ["b"])
    hot.drop(["a", "never there"])
    assert "a" not in hot
    assert hottest(hot) == ["b"]
    hot.note(["a"])

    assert hot.heats()["a"] == 1.0


def test_a_key_that_comes_again_after_it_was_dropped_is_as_cold_as_a_new_one():
    hot = HotKeys(2, half_life=100.0)
    hot.note(["was hot"] * 50 + ["warm"] * 5)
    hot.drop(["was hot"])
    hot.note(["was hot", "new"])

    assert sorted(hottest(hot)) == ["new", "warm"]


def test_dropping_and_noting_for_ever_takes_no_more_memory():
    hot = HotKeys(10, half_life=100.0)
    for number in range(5_000):
        hot.note([number % 7])
        hot.drop([number % 7])

    assert len(hot) == 0
    assert len(hot._table._hashes) <= 11


@pytest.mark.parametrize(
    ("size", "half_life", "setting"),
    [(0, 10.0, "size"), (1.5, 10.0, "size"), (1, 0.5, "half_life"), (1, math.nan, "half_life")],
)
def test_a_size_or_half_life_that_means_nothing_is_refused_by_name(size, half_life, setting):
    with pytest.raises(ConfigurationError) as refused:
        HotKeys(size, half_life)
    assert refused.value.setting == setting
