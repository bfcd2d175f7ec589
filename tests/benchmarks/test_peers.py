"""The comparison with other caches checks values, names each absent peer, and judges each goal."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import replace
from functools import cache

import pytest

from benchmarks.peers.claims import AtMostMilliseconds, AtMostTimes
from benchmarks.peers.goals import DECORATOR, FIFO, GOALS, MEASURED, Goal, best_peer, judge
from benchmarks.peers.registry import ADAPTERS, find_peers, import_peer
from benchmarks.peers.report import encode, print_missing, print_result, print_verdicts
from benchmarks.peers.results import Result, Row, Sample, spread
from benchmarks.peers.rounds import Plan, interleave
from benchmarks.peers.sizes import QUICK
from benchmarks.peers.sources import LimitedSource, Source, value_of
from benchmarks.peers.workloads import WORKLOADS
from benchmarks.peers.workloads.memory import grown
from benchmarks.peers.workloads.zipf import zipf_keys
from tests.benchmarks.commands import run_command

PACKAGES = {
    "aio_cache": "aiocache",
    "aio_dataloader": "aiodataloader",
    "acache_tools": "acachetools",
    "async_cache": "cache",
    "asynclru": "async_lru",
    "cache_box": "cachebox",
    "cashews_memory": "cashews",
    "one_flight": "oneflight",
    "ours_measured": "prometheus_client",
    "theine_memoize": "theine",
}
FOR_EVER = 1e9
TINY = replace(
    QUICK,
    short=Plan(rounds=2, patience=FOR_EVER),
    long=Plan(rounds=2, patience=FOR_EVER),
    mixed=Plan(rounds=2, patience=FOR_EVER),
    hit_keys=50,
    hit_passes=1,
    misses=50,
    miss_seconds=FOR_EVER,
    miss_capacity=20,
    callers=40,
    stampede_keys=4,
    slow_callers=3,
    slow_seconds=0.01,
    slow_key_callers=5,
    slow_key_seconds=0.02,
    cold_keys=600,
    passing_keys=1_500,
    requests=500,
    population=100,
    workers=8,
)
LRU_ONLY = [import_peer("ours:Lru")]


@cache
def measured(workload):
    """Each workload once: two tests look at some of them."""
    return WORKLOADS[workload](LRU_ONLY, TINY)


def result_of(title, *costs, workload="hits", floor=1.0):
    rows = [
        Row("floor", [Sample(floor)] * len(costs), is_floor=True),
        Row(title, [Sample(cost) for cost in costs], is_ours=True),
        Row("peer", [Sample(9.0)]),
    ]
    return Result(workload, "a summary", "seconds", "floor", rows, {"absent peer": "has no bound"})


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_peer_returns_the_value_of_its_key_on_a_miss_and_on_a_hit(adapter):
    module = adapter.partition(":")[0]
    pytest.importorskip(PACKAGES.get(module, "async_backfill"))

    async def ask():
        source = Source()
        async with import_peer(adapter)(source, 100) as peer:
            missed = [await peer.get(key) for key in range(50)]
            read = source.keys
            hit = [await peer.get(key) for key in range(50)]
            many = await peer.get_many(range(50)) if peer.has_get_many else ()
            peeked = [peer.peek(key) for key in range(50)] if peer.has_peek else None
        return missed, hit, len(many), peeked, read, source.keys - read, peer

    missed, hit, many, peeked, read, read_again, peer = asyncio.run(ask())
    values = [value_of(key) for key in range(50)]
    assert missed == hit == values
    assert many == (50 if peer.has_get_many else 0)
    assert peeked == (values if peer.has_peek else None)
    assert read == 50
    assert read_again == (0 if peer.holds else 50)


def test_a_peer_that_is_not_there_is_a_line_and_the_others_take_part():
    peers, missing = find_peers(["ours:Fifo", "no_such_module:Peer", "ours:NoSuchClass"])
    out = io.StringIO()
    print_missing(missing, out)

    assert [peer.title for peer in peers] == [FIFO]
    assert [line.partition(": ")[0] for line in out.getvalue().splitlines()] == [
        "no_such_module:Peer",
        "ours:NoSuchClass",
    ]
    assert all(each.reason.startswith("not installed: ") for each in missing)


def test_a_peer_that_fails_in_a_round_is_a_reason_and_the_others_go_on():
    async def works():
        return Sample(1.0)

    async def breaks():
        raise ValueError("no")

    samples, failed = asyncio.run(interleave({"works": works, "breaks": breaks}, Plan(3, FOR_EVER)))

    assert samples == {"works": [Sample(1.0)] * 3}
    assert failed == {"breaks": "failed: ValueError: no"}


def test_each_round_begins_with_another_contender_and_each_takes_part_once():
    order = []

    def trial(name):
        async def run():
            order.append(name)
            return Sample(1.0)

        return run

    asyncio.run(interleave({name: trial(name) for name in "abc"}, Plan(3, FOR_EVER)))

    assert order == [*"abc", *"bca", *"cab"]


def test_a_contender_that_used_up_its_time_takes_part_in_no_further_round():
    async def slow():
        await asyncio.sleep(0.002)
        return Sample(1.0)

    samples, _ = asyncio.run(interleave({"slow": slow}, Plan(rounds=5, patience=0.001)))

    assert samples == {"slow": [Sample(1.0)]}


@pytest.mark.parametrize("workload", [name for name in WORKLOADS if name not in {"memory", "slow-load"}])
def test_a_workload_measures_this_projects_cache_in_every_round(workload):
    result = measured(workload)
    row = result.row("async_backfill LRU")

    assert result.workload == workload
    assert row is not None
    assert row.is_ours
    assert result.absent == {}
    assert len(row.samples) == (1 if workload == "left-behind" else 2)
    assert (result.times(row) is None) == (workload == "left-behind")


def test_what_is_counted_is_what_the_source_was_asked():
    stampede = measured("stampede").row("async_backfill LRU")
    cold = measured("cold-keys").row("async_backfill LRU")
    slow = measured("slow-load").row("async_backfill LRU")
    left = measured("left-behind").row("async_backfill LRU")

    assert stampede.fact("keys read") == 4
    assert (cold.fact("source calls"), cold.fact("keys read")) == (2, 600)
    assert slow.fact("source calls") == 1
    assert left.cost.median == 0


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is read from /proc")
def test_a_cache_that_would_take_too_long_to_fill_is_filled_with_an_eighth():
    assert grown("ours:Lru", 800, "get", FOR_EVER)[1] == 800
    assert grown("ours:Lru", 800, "get", 0.0)[1] == 100
    assert grown("ours:Lru", 800, "put_many", 0.0)[1] == 800
    assert grown("ours:S3Fifo", 800, "in use", FOR_EVER)[1] == 800


def test_the_limited_source_refuses_too_many_keys_and_works_on_a_few_calls():
    async def ask():
        source = LimitedSource(0.0, at_once=2, at_most=3)
        with pytest.raises(ValueError, match="4 keys in one call, 3 are allowed"):
            await source.load_many(range(4))
        return await source.load_many(range(3)), await source.load(7), source.calls

    assert asyncio.run(ask()) == ({0: 1, 1: 2, 2: 3}, 8, 2)


def test_skewed_lookups_are_the_same_each_time_and_few_keys_are_most_of_them():
    keys = zipf_keys(100, 10_000)
    often = sorted((keys.count(key) for key in range(100)), reverse=True)

    assert keys == zipf_keys(100, 10_000)
    assert 1_700 < often[0] < 2_200
    assert sum(often[:10]) > 5_000


def test_a_ratio_is_taken_within_a_round_and_its_median_counts():
    result = result_of(FIFO, 2.0, 3.0, 100.0, floor=2.0)
    times = result.times(result.rows[1])

    assert (times.low, times.median, times.high) == (1.25, 1.5, 25.75)
    assert spread([4.0]).low == spread([4.0]).high == 4.0


def test_every_claim_of_the_goals_is_about_a_workload_and_a_contender_that_exist():
    peers, _ = find_peers([adapter for adapter in ADAPTERS if adapter.startswith("ours:")])
    ways = {f"{peer.title}, {way}" for peer in peers for way in ("peek", "put_many", "in use")}
    titles = {peer.title for peer in peers} | ways | {DECORATOR, MEASURED}

    assert len(GOALS) == 15
    for goal in GOALS:
        assert goal.claims
        for claim in goal.claims:
            assert claim.workload in WORKLOADS
            assert claim.title in titles
        assert goal.rivals is None or goal.rivals in WORKLOADS


def test_a_goal_is_held_up_to_its_limit_lost_beyond_it_and_open_if_not_measured():
    goal = Goal("hit", "≤ 2", (AtMostTimes("hits", FIFO, 2.0),), "hits")

    held, lost, absent, without = (
        judge(results, [goal])[0]
        for results in ([result_of(FIFO, 2.0)], [result_of(FIFO, 2.1)], [result_of("other", 1.0)], [])
    )
    assert (held.is_held, held.measured, held.best_peer) == (True, "FIFO 2", "peer 9")
    assert lost.is_held is False
    assert (absent.is_held, absent.measured) == (None, "")
    assert (without.is_held, without.best_peer) == (None, "")


def test_a_time_is_judged_and_shown_in_milliseconds():
    goal = Goal("wait", "≤ 40 ms", (AtMostMilliseconds("hits", FIFO, 40.0),), None)
    held, lost = (judge([result_of(FIFO, seconds)], [goal])[0] for seconds in (0.04, 0.041))

    assert (held.is_held, held.measured) == (True, "FIFO 40 ms")
    assert (lost.is_held, lost.measured) == (False, "FIFO 41 ms")


def test_all_goals_are_judged_also_from_nothing_and_a_lost_row_is_shown_as_lost():
    out = io.StringIO()
    print_verdicts(judge([result_of(FIFO, 2.0)]), out)
    lines = out.getvalue().strip().splitlines()

    assert len(lines) == 2 + len(GOALS)
    assert lines[2].endswith("| ≤ 1.25 | FIFO 2 | peer 9 | **lost** |")
    assert lines[-1] == "| objects left behind | 0 | not measured |  | not measured |"


def test_the_best_peer_is_no_floor_and_not_ours_and_the_best_bounded_is_named_too():
    result = result_of(FIFO, 2.0)
    unbounded = Row("unbounded", [Sample(1.5)], remark="no bound")
    slow = Row("slow", [Sample(99.0)])

    assert best_peer(result) == "peer 9"
    assert (
        best_peer(replace(result, rows=[*result.rows, unbounded, slow])) == "unbounded 1.5 (no bound), peer 9"
    )
    assert best_peer(replace(result, rows=result.rows[:2])) == "none"


def test_a_table_names_every_contender_and_the_json_has_them_all():
    result = result_of(FIFO, 2.0, 3.0)
    out = io.StringIO()
    print_result(result, out)
    text = encode([result], judge([result]), [], "a machine", {"package": "1.0"})
    document = json.loads(text)

    assert [line.split("  ")[0] for line in out.getvalue().splitlines()[3:]] == [
        "floor",
        FIFO,
        "peer",
        "has no bound: absent peer",
    ]
    assert [row["contender"] for row in document["workloads"][0]["rows"]] == ["floor", FIFO, "peer"]
    assert document["workloads"][0]["rows"][1]["times"] == {"median": 2.5, "low": 2.25, "high": 2.75}
    assert (document["machine"], document["versions"]) == ("a machine", {"package": "1.0"})
    assert [goal["subject"] for goal in document["goals"]] == [goal.subject for goal in GOALS]


def test_the_command_runs_one_workload_and_writes_its_results_where_it_is_told(tmp_path, capsys):
    where = ("--output-dir", str(tmp_path))
    assert run_command("peers", "--quick", "--only", "get-many", *where) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert FIFO in printed.out
    document = json.loads((tmp_path / "peers.json").read_text())
    assert [each["workload"] for each in document["workloads"]] == ["get-many"]
    assert (tmp_path / "peers.svg").read_text().startswith("<?xml")


def test_a_workload_that_does_not_exist_is_refused():
    assert run_command("peers", "--only", "nothing") == 2
