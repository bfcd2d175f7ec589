"""The benchmark of growth measures each kind of work at each size, and never runs out of memory."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from async_backfill.stores._eviction.orders import EVICTIONS
from benchmarks.scaling.__main__ import measure
from benchmarks.scaling.all_hit import ALL_HIT, all_hit
from benchmarks.scaling.crowds import INVALIDATE, PUT, WAITERS, others_load, waiters
from benchmarks.scaling.floors import Echo, NaiveCache
from benchmarks.scaling.isolation import in_a_process
from benchmarks.scaling.many import COLD, WARM, many
from benchmarks.scaling.plan import Plan
from benchmarks.scaling.plot import draw
from benchmarks.scaling.report import Results, encode, print_results
from benchmarks.scaling.rounds import compare, spread
from benchmarks.scaling.sizes import FREE, FULL, HIT, at_size
from benchmarks.scaling.tails import tails
from tests.benchmarks.commands import run_command

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
TOO_MANY = 10**15


async def small_results():
    results = Results()
    for size in (20, 40):
        for order in EVICTIONS:
            results.points += await at_size(order, size, rounds=2, hits=10, misses=2)
            results.tails += await tails(order, size, misses=10)
            results.tails.append(await all_hit(order, size * 10, times=2))
        results.points.append(await waiters(size, rounds=2))
        results.points += await others_load(size, rounds=2)
        results.points += await many(size, rounds=2)
    results.skipped.append("lru, 80 entries: left out")
    return results


@pytest.fixture(scope="module")
def results():
    return anyio.run(small_results)


def test_each_kind_of_work_is_measured_at_each_size_and_for_each_order(results):
    of_orders = {
        (what, order, size) for what in (HIT, FREE, FULL) for order in EVICTIONS for size in (20, 40)
    }
    of_crowds = {
        (what, "cache", size) for what in (WAITERS, PUT, INVALIDATE, COLD, WARM) for size in (20, 40)
    }
    slowest = {(what, order, size) for what in (FREE, FULL) for order in EVICTIONS for size in (20, 40)}
    slowest |= {(ALL_HIT, order, size) for order in EVICTIONS for size in (200, 400)}

    assert {(point.what, point.who, point.size) for point in results.points} == of_orders | of_crowds
    assert {(tail.what, tail.who, tail.size) for tail in results.tails} == slowest


def test_as_many_single_misses_as_asked_for_are_timed_and_as_many_of_the_floor(results):
    counts = {(tail.cost.count, tail.floor.count) for tail in results.tails if tail.what != ALL_HIT}

    assert counts == {(10, 10), (12, 12)}  # starts anew after each two, and after each four
    assert {tail.cost.count for tail in results.tails if tail.what == ALL_HIT} == {2}


def test_the_two_take_turns_in_going_first_and_the_first_round_does_not_count():
    turns = []

    async def ours():
        turns.append("ours")
        return 6.0 if len(turns) > 2 else 100.0

    async def floor():
        turns.append("floor")
        return 3.0 if len(turns) > 2 else 100.0

    cost, base, ratio = anyio.run(compare, ours, floor, 3)

    assert turns == ["floor", "ours", "ours", "floor", "floor", "ours", "ours", "floor"]
    assert (cost, base, ratio) == (spread([6.0] * 3), spread([3.0] * 3), spread([2.0] * 3))


def test_a_naive_cache_holds_its_capacity_and_lets_the_first_key_go():
    async def scenario():
        naive = NaiveCache(Echo(), 2)
        assert [await naive.get(key) for key in (1, 2, 3)] == [1, 2, 3]
        assert len(naive) == 2
        naive.clear()
        assert await naive.get_many([5, 6, 7], 2) == {5: 5, 6: 6, 7: 7}
        assert len(naive) == 2

    anyio.run(scenario)


def test_a_size_without_memory_is_a_line_and_not_an_error():
    plan = Plan(entries=(TOO_MANY,), crowds=(), rounds=2, hits=1, misses=1, single_misses=1, work=1)
    found = measure(plan)
    out = io.StringIO()
    print_results(found, out)

    assert (found.points, found.tails) == ([], [])
    assert [line.partition(":")[0] for line in found.skipped] == [
        f"{order}, {TOO_MANY:,} entries" for order in EVICTIONS
    ]
    assert out.getvalue().splitlines() == found.skipped


def test_a_process_that_is_ended_takes_only_its_own_figures_along():
    assert in_a_process(anyio.to_thread.run_sync, os._exit, 9) is None
    assert in_a_process(anyio.to_thread.run_sync, abs, -9) == 9


def test_everything_measured_is_in_the_tables_the_json_and_the_picture(results, tmp_path):
    out = io.StringIO()
    print_results(results, out)
    document = json.loads(encode(results, "a machine"))
    for name in ("one.svg", "two.svg"):
        draw(results, tmp_path / name)

    for what in {point.what for point in results.points} | {tail.what for tail in results.tails}:
        assert what in out.getvalue()
    assert out.getvalue().endswith("lru, 80 entries: left out\n")
    assert document["machine"] == "a machine"
    assert len(document["points"]) == len(results.points)
    assert set(document["points"][0]) == {"what", "who", "size", "cost", "floor", "ratio"}
    assert len(document["tails"]) == len(results.tails)
    assert document["skipped"] == ["lru, 80 entries: left out"]
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_quick_command_prints_and_writes_nothing(capsys):
    before = {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
    assert run_command("scaling", "--quick") == 0
    printed = capsys.readouterr()

    assert printed.err == ""
    assert all(order in printed.out for order in EVICTIONS)
    assert {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()} == before
