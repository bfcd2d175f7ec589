"""The simulated fleet serves all its lookups, shares what it loads, and is the same in each run."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from async_backfill._runner.replay.virtual_time import run_virtually
from benchmarks.fleet.counts import Counts
from benchmarks.fleet.plan import PHASES, Plan
from benchmarks.fleet.plot import draw
from benchmarks.fleet.report import MEASURES, encode, exponent, print_fleet
from benchmarks.fleet.simulation import simulate
from tests.benchmarks.commands import run_command

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SMALL = Plan(sizes=(), keys=60, capacity=20, writes=0.1)


@pytest.fixture(scope="module")
def four():
    return run_virtually(simulate, SMALL, 4)


def test_no_lookup_fails_whatever_happens_to_the_fleet(four):
    assert list(four) == [phase.name for phase in PHASES]
    assert all(counts.lookups > 0 and counts.failed == 0 for counts in four.values())


def test_a_fleet_shares_what_one_of_it_loaded_while_its_far_tier_is_there(four):
    for phase, shares in {"steady": True, "far tier down": False}.items():
        counts = four[phase]
        assert (counts.far_calls > counts.source_calls) is shares, phase


def test_what_one_process_put_is_heard_by_the_others_unless_the_far_tier_is_down(four):
    assert four["steady"].messages > 0
    assert four["far tier down"].messages == 0
    assert four["far tier down"].failed_writes > 0


def test_two_runs_of_one_plan_have_the_same_traffic(four):
    again = run_virtually(simulate, SMALL, 4)
    assert [counts.lookups for counts in again.values()] == [counts.lookups for counts in four.values()]


def test_what_grows_with_the_square_of_the_traffic_has_the_exponent_two():
    few, many = Counts(lookups=100, source_calls=20), Counts(lookups=1000, source_calls=2000)
    calls = MEASURES["source calls"]

    assert exponent(few, many, calls) == pytest.approx(2.0)
    assert exponent(few, Counts(lookups=1000, source_calls=20), calls) == pytest.approx(0.0)
    assert exponent(few, Counts(lookups=1000, source_calls=3), calls) is None


def test_the_slowest_of_all_lookups_and_of_most_are_told_apart():
    counts = Counts(lookups=1000, waits=[0.5, *[0.02] * 20])

    assert (counts.slowest(0.5), counts.slowest(0.99), counts.slowest(1.0)) == (0.0, 0.02, 0.5)


def test_the_tables_mark_what_grows_faster_than_the_traffic(tmp_path):
    sizes = {
        1: Counts(lookups=10, messages=0),
        10: Counts(lookups=100, messages=100, source_calls=50),
        100: Counts(lookups=1000, messages=10_000, source_calls=50),
    }
    results = {size: {phase.name: counts for phase in PHASES} for size, counts in sizes.items()}
    out = io.StringIO()
    print_fleet(results, out)
    draw(results, tmp_path / "fleet.svg")

    assert out.getvalue().splitlines()[-1].split() == ["far", "tier", "flushed", "0.00", "2.00*"]
    assert json.loads(encode(results, "here"))["sizes"]["10"]["steady"]["source_calls"] == 50
    assert "invalidations heard" in (tmp_path / "fleet.svg").read_text(encoding="utf-8")


def test_the_quick_command_simulates_small_fleets_and_writes_nothing(capsys):
    before = {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
    level = logging.getLogger("async_backfill").level
    assert run_command("fleet", "--quick") == 0
    printed = capsys.readouterr().out

    assert "far tier flushed" in printed
    assert logging.getLogger("async_backfill").level == level  # what others log is not for it to stop
    assert {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()} == before
