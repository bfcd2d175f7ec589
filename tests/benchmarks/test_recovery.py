"""The benchmark of restarts counts right, and says where history does not keep its promise."""

from __future__ import annotations

import io
from functools import cache

import pytest

from benchmarks.hit_ratios.replay import trace_of
from benchmarks.recovery.experiment import WAYS, restart
from benchmarks.recovery.report import encode, print_restarts, verdict
from benchmarks.steady.experiment import steady
from tests.benchmarks.commands import run_command

HOT = trace_of("hot", [f"key_{number % 5}" if number % 2 else f"once_{number}" for number in range(12_000)])


@cache
def restarted():
    return restart(HOT, 0.005, "lru")


def test_history_makes_fewer_calls_than_the_other_ways_where_a_few_keys_are_hot():
    result = restarted()
    calls = {run.way: run.calls[5_000] for run in result.runs}

    assert [run.way for run in result.runs] == list(WAYS)
    assert calls["never restarted"] == 2_500
    assert calls["no backfill"] == 2_505
    assert calls["history"] < calls["no backfill"]
    assert result.run("history").backfills == 1
    assert result.times("no backfill") == 2_505 / 2_500


def test_the_hit_rate_is_taken_of_each_500_lookups_from_5000_before_the_restart_on():
    result = restarted()
    before = result.run("no backfill").hit_rates[:10]

    assert before == [0.5] * 10
    assert len(result.run("no backfill").hit_rates) == 10 + 12


def test_the_same_trace_gives_the_same_text_and_a_promise_that_is_not_kept_is_named():
    result = restarted()
    short = trace_of("short", HOT.requests[:2_500])
    out = io.StringIO()
    print_restarts([result], out)

    assert encode([restart(short, 0.01, "lru")]) == encode([restart(short, 0.01, "lru")])
    assert out.getvalue().splitlines()[1].startswith("hot")
    assert verdict([result]).startswith("history within 1.05 of a cache never restarted in ")


def test_in_steady_traffic_successors_gain_where_keys_follow_each_other():
    loop = trace_of("loop", [f"key_{number % 200}" for number in range(5_000)])
    nothing, successors, *_ = steady(loop, 0.2, "lru").runs

    assert nothing.hit_ratio == 0.0
    assert successors.hit_ratio > 0.35
    assert successors.calls < 0.65 * nothing.calls


@pytest.mark.parametrize("name", ["recovery", "steady"])
def test_the_commands_work_on_the_beginning_of_the_traces(name, tmp_path, capsys):
    (tmp_path / "small.keys").write_text("\n".join(HOT.requests[:500]) + "\n")
    assert run_command(name, "--quick", "--traces", str(tmp_path)) == 0
    printed = capsys.readouterr()

    assert printed.err == ""
    assert "small" in printed.out


def test_a_folder_without_traces_is_one_line(tmp_path):
    said = f"error: {tmp_path}: no traces, expected files named NAME.keys or NAME.keys.gz"
    assert run_command("recovery", "--traces", str(tmp_path)) == said
