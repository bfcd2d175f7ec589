"""The settings to try: coarse, in sweeps, in finer steps."""

from __future__ import annotations

from msgspec.structs import replace

from async_backfill._runner.scenario.model import Settings
from async_backfill._runner.tuning.grid import DIMENSIONS, Extent, changes, coarse, fine, sweep
from async_backfill.stores._eviction.orders import EVICTIONS

EXTENT = Extent(wanted=1000, in_source=5000)
BASE = Settings(window=77)


def test_the_coarse_grid_begins_with_the_scenario_and_crosses_capacity_with_eviction():
    tries = coarse(BASE, EXTENT)
    assert tries[0] == BASE
    bounded = {(each.capacity, each.eviction) for each in tries[1:]}
    assert bounded == {(capacity, eviction) for capacity in (20, 100, 500) for eviction in EVICTIONS}
    assert len(tries) == 13


def test_a_setting_that_is_not_varied_is_that_of_the_scenario():
    tries = [*coarse(BASE, EXTENT), *sweep([BASE], BASE, EXTENT), *fine([BASE], [BASE], BASE, EXTENT)]
    assert {each.window for each in tries} == {77}


def test_a_sweep_changes_one_dimension_at_a_time():
    around = replace(BASE, capacity=100, eviction="lru")
    together, *tries = [each for each in sweep([around], BASE, EXTENT) if each.capacity is not None]
    assert {changes(together, around)} == {2}
    assert {changes(each, around) for each in tries} == {0, 1}
    moved = {dimension.name for dimension in DIMENSIONS for each in tries if differs(each, around, dimension)}
    assert moved == {dimension.name for dimension in DIMENSIONS}


def test_a_sweep_begins_with_the_largest_batches_together_with_a_few_successors():
    first = sweep([BASE], BASE, Extent(wanted=100, in_source=20_000))[0]
    assert (first.backfill_batch, first.successors) == (5000, 2)
    small = sweep([BASE], BASE, Extent(wanted=100, in_source=500))[0]
    assert (small.backfill_batch, small.successors) == (1000, 2)


def differs(one, other, dimension):
    return getattr(one, dimension.name) != getattr(other, dimension.name)


def test_a_finer_step_is_half_way_by_proportion_to_the_nearest_values_tried():
    tried = [replace(BASE, capacity=capacity) for capacity in (4, 16, 100, 400)]
    tries = fine([tried[2]], tried, BASE, EXTENT)
    assert [each.capacity for each in tries] == [40, 200]


def test_a_finer_step_towards_no_limit_is_a_step_towards_all_keys_that_are_looked_up():
    tried = [replace(BASE, capacity=capacity) for capacity in (250, None)]
    assert [each.capacity for each in fine(tried[:1], tried, BASE, EXTENT)] == [500]
    assert [each.capacity for each in fine(tried[1:], tried, BASE, EXTENT)] == [500]


def test_between_neighbours_there_is_no_finer_step():
    tried = [replace(BASE, capacity=capacity) for capacity in (7, 8)]
    assert fine(tried, tried, BASE, EXTENT) == []


def test_what_has_no_effect_is_not_tried_in_variants():
    everything_fits = [replace(BASE, capacity=5000, eviction=eviction) for eviction in EVICTIONS]
    unbounded = [each for each in sweep(everything_fits, BASE, EXTENT) if each.capacity is None]
    assert {each.eviction for each in unbounded} == {BASE.eviction}
    no_backfill = [each for each in sweep([BASE], BASE, EXTENT) if each.max_backfills == 0]
    around = sweep(no_backfill, BASE, EXTENT)
    quiet = [each for each in around if each.max_backfills == 0]
    assert {(each.miss_threshold, each.backfill_batch) for each in quiet} == {(0.5, 10)}


def test_the_first_settings_of_a_sweep_include_some_around_each():
    base = replace(BASE, capacity=7)
    around = [replace(base, capacity=100, eviction=eviction) for eviction in EVICTIONS]
    tries = sweep(around, base, EXTENT)
    assert [each.eviction for each in tries[: len(around)]] == list(EVICTIONS)
    first = tries[len(around) : 2 * len(around)]
    assert first == [replace(base, eviction=eviction) for eviction in EVICTIONS]


def test_a_scenario_without_lookups_has_a_grid():
    tries = coarse(BASE, Extent(wanted=0, in_source=0))
    assert tries == [BASE]
