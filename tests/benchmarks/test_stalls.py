"""The benchmark of stalls does each work at each size, and measures whole turns of its event loop."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from benchmarks.stalls.measuring import Stall, longest_turn
from benchmarks.stalls.ours import OURS
from benchmarks.stalls.report import encode, print_stalls
from tests.benchmarks.commands import run_command

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MADE_UP = [
    Stall("a work", "async_backfill", 10, 0.0012),
    Stall("a work", "async_backfill", 20, 0.0123),
    Stall("a work", "peer", 20, 0.5),
    Stall("another", "async_backfill", 20, 0.001),
]


def spend(times):
    for _ in range(times):
        sum(range(1000))


def test_the_longest_turn_is_that_of_the_step_with_most_work():
    async def in_one(watch, size):
        spend(size)  # before, which does not count
        with watch.on():
            spend(size)

    async def in_steps(watch, size):
        with watch.on():
            for _ in range(100):
                spend(size // 100)
                await checkpoint()

    assert 0 < longest_turn(in_steps, 1000) < longest_turn(in_one, 1000) / 3
    assert longest_turn(in_one, 100) < longest_turn(in_one, 1000)


def test_the_table_marks_what_is_over_the_limit_and_leaves_out_what_was_not_measured():
    out = io.StringIO()
    print_stalls(MADE_UP, out)
    lines = [line.split() for line in out.getvalue().splitlines()]

    assert lines[-2:] == [["a", "work", "1.2", "12.3*", "500.0*"], ["another", "1.0"]]
    assert json.loads(encode(MADE_UP, "a machine"))["stalls"][1]["longest"] == pytest.approx(0.0123)


def test_the_quick_command_does_each_work_and_writes_nothing(capsys):
    before = {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
    assert run_command("stalls", "--quick") == 0
    printed = capsys.readouterr()

    assert printed.err == ""
    assert all(name in printed.out for name in OURS)
    assert {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()} == before
