"""The benchmark of restarts counts right, and judges each kind of restart by the same goal."""

from __future__ import annotations

import io
import json
import time
from functools import cache

import anyio
import pytest

from benchmarks.hit_ratios.replay import trace_of
from benchmarks.recovery.experiment import Case, Run, _Death, _lives, restarts
from benchmarks.recovery.kinds import KINDS, NEVER, Kind
from benchmarks.recovery.plot import draw
from benchmarks.recovery.report import encode, print_cases, print_served, shares
from benchmarks.recovery.service import OURS, Traffic, serve
from benchmarks.recovery.virtual_time import run_virtually
from benchmarks.steady.experiment import steady
from tests.benchmarks.commands import run_command

HOT_KEYS = 60
HOT = trace_of("hot", [f"key_{number % 80}" if number % 4 else f"once_{number}" for number in range(10_200)])
BUSY = Traffic(rate=700, keys=2_000, capacity=500, before=4, after=2, call=0.04)
RUN = Run(calls=100, keys=100, hits=0)


@cache
def restarted():
    return restarts(HOT, 0.05, "lru")


@cache
def served(name):
    return serve(name, BUSY)


def made_up(calls, *, eviction="lru", never=100, cold=200):
    runs = {NEVER: Run(calls=never, keys=never, hits=0), "cold": Run(calls=cold, keys=cold, hits=0)}
    runs["history"] = Run(calls=calls, keys=3 * cold, hits=0)
    return Case(trace="a", room=0.1, capacity=10, eviction=eviction, cut=0.5, runs=runs)


def test_time_jumps_while_all_wait_and_stands_still_while_a_thread_works():
    async def work():
        await anyio.sleep(3_600)
        with anyio.fail_after(0.001):
            await anyio.to_thread.run_sync(time.sleep, 0.01)
        return anyio.current_time()

    assert run_virtually(work) == pytest.approx(3_600)


def test_a_cache_is_restarted_wherever_5000_lookups_are_left():
    cases = restarted()

    assert [case.cut for case in cases] == [0.3, 0.5]
    assert (cases[0].trace, cases[0].room, cases[0].capacity) == ("hot", 0.05, 130)


def test_a_journal_may_be_older_than_the_last_lookups_but_not_than_the_process():
    young, old = ({*case.runs} - {NEVER} for case in restarted())

    left = {"history", "snapshot", "snapshot, trusted"}
    assert young == {"cold", "source order"} | left
    assert old == young | {f"{name}, 5,000 old" for name in left}


def test_a_snapshot_of_values_costs_what_a_cache_never_emptied_costs():
    for case in restarted():
        assert case.runs["snapshot, trusted"] == case.runs[NEVER]
        assert case.meets("snapshot")


def test_history_reads_the_hot_keys_in_bulk_where_a_cold_cache_reads_each_alone():
    runs = restarted()[0].runs

    assert runs[NEVER].calls == runs[NEVER].keys == 1_250
    assert runs["cold"].calls == 1_250 + HOT_KEYS
    assert runs["history"].calls < 1_250 + 10
    assert runs["history"].keys > runs["history"].calls + HOT_KEYS - 10


def test_the_same_trace_gives_the_same_text():
    assert encode(restarts(HOT, 0.05, "lru"), ()) == encode(restarted(), ())


def test_one_process_dies_again_and_again_unless_what_it_leaves_has_a_log():
    deaths = [_Death(saved=cut - age, cut=cut) for cut in (10, 20, 30) for age in (0, 12) if cut > age]
    logs, journal = (Kind(settings=dict, saves="file", logs=logs) for logs in (True, False))

    assert _lives(journal, deaths) == [sorted(deaths)]
    assert [[death.cut for death in life] for life in _lives(logs, deaths)] == [[20, 20, 30], [10, 30]]


def test_a_case_counts_where_a_warm_cache_saves_a_tenth_of_the_calls():
    assert made_up(100, never=180).counts
    assert not made_up(100, never=181).counts


def test_the_goal_is_five_hundredths_more_calls_or_ten_calls_more():
    assert [made_up(calls, never=1_000, cold=2_000).meets("history") for calls in (1_050, 1_051)] == [
        True,
        False,
    ]
    assert [made_up(calls, never=5).meets("history") for calls in (15, 16)] == [True, False]


def test_shares_are_of_the_cases_that_count_of_each_order_room_and_trace():
    cases = [made_up(100), made_up(300, eviction="sieve"), made_up(100, never=200)]
    found = {(share.name, share.group): share for share in shares(cases)}
    history = found["history", "all"]

    assert (history.cases, history.met, history.times_mean, history.keys_median) == (2, 1, 2.0, 3.0)
    assert str(found["history", "sieve"]) == "0/1 3.00"
    assert {group for name, group in found if name == "cold"} == {"all", "lru", "sieve", "10%", "a"}


def test_the_tables_name_each_kind_and_are_empty_without_cases():
    out = io.StringIO()
    print_cases([made_up(100)], out)
    print_cases([], out)
    printed = out.getvalue()

    assert "1 of 1 cases count" in printed
    assert "1/1 = 100%" in printed
    assert all(name in printed for name in KINDS)


def test_a_source_that_is_too_slow_for_each_request_is_fast_enough_for_batches():
    alone, cold, history = (served(name) for name in ("no cache", f"{OURS}cold", f"{OURS}history"))

    assert alone.p99[0] < alone.p99[1] > 10 * cold.p99[1]
    assert history.calls < cold.calls < alone.calls
    assert history.keys > cold.keys


def test_who_waits_until_it_is_warm_serves_the_first_request_later_and_faster():
    at_once, ready = served(f"{OURS}history"), served(f"{OURS}history, ready first")

    assert at_once.waited == 0.0 < ready.waited < 1.0
    assert ready.p99[0] <= at_once.p99[0]


def test_the_seconds_after_a_restart_are_a_table_and_a_picture(tmp_path):
    both = [served("no cache"), served(f"{OURS}cold")]
    out = io.StringIO()
    print_served(both, out)
    for name in ("one.svg", "other.svg"):
        draw(both, tmp_path / name)

    assert "a source call 40 ms" in out.getvalue()
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert json.loads(encode((), both))["service"][1]["name"] == f"{OURS}cold"


def test_in_steady_traffic_successors_gain_where_keys_follow_each_other():
    loop = trace_of("loop", [f"key_{number % 200}" for number in range(5_000)])
    nothing, successors, *_ = steady(loop, 0.2, "lru").runs

    assert nothing.hit_ratio == 0.0
    assert successors.hit_ratio > 0.35
    assert successors.calls < 0.65 * nothing.calls


@pytest.mark.parametrize(("name", "length"), [("recovery", 7_200), ("steady", 500)])
def test_the_commands_work_on_the_beginning_of_the_traces(name, length, tmp_path, capfd):
    (tmp_path / "small.keys").write_text("\n".join(HOT.requests[:length]) + "\n")

    assert run_command(name, "--quick", "--traces", str(tmp_path), "--output-dir", str(tmp_path)) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "small" in printed.out
    assert (tmp_path / f"{name}.json").exists()


def test_a_folder_without_traces_is_one_line(tmp_path):
    said = f"error: {tmp_path}: no traces, expected files named NAME.keys or NAME.keys.gz"
    assert run_command("recovery", "--traces", str(tmp_path)) == said
