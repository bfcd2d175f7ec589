"""The benchmark of profiles samples each kind of work, and says which functions took the time."""

from __future__ import annotations

import io
import json
from pathlib import Path

import anyio
import pytest

pytest.importorskip("pyinstrument", reason="the extra bench is not installed")

from benchmarks.profiles.__main__ import encode, print_profiles
from benchmarks.profiles.sampling import Profile, profile
from benchmarks.profiles.workloads import WORKLOADS
from tests.benchmarks.commands import run_command

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SHARES = {f"module:function_{number}": share for number, share in enumerate([0.5] + [0.0125] * 40)}
MADE_UP = Profile("a workload", nanoseconds=1234.5, slowdown=2.0, samples=100, shares=SHARES)


def test_the_shares_are_of_the_whole_and_name_what_the_library_did():
    found = anyio.run(lambda: profile("miss", WORKLOADS["lone miss that evicts"], seconds=0.1))

    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
    assert any(function.startswith("async_backfill.") for function in found.shares)
    assert found.samples >= len(found.shares)


def test_the_eight_largest_shares_are_printed_and_more_are_kept():
    out = io.StringIO()
    print_profiles([MADE_UP], out)
    lines = out.getvalue().splitlines()
    document = json.loads(encode([MADE_UP], "a machine"))

    assert len(lines) == 1 + 8
    assert lines[1].split() == ["a", "workload", "1,234", "x2.0", "50.0%", "module:function_0"]
    assert document["machine"] == "a machine"
    assert list(document["profiles"][0]["shares"]) == list(SHARES)[:30]


def test_the_quick_command_profiles_each_workload_and_writes_nothing(capsys):
    before = {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
    assert run_command("profiles", "--quick") == 0
    printed = capsys.readouterr()

    assert printed.err == ""
    assert all(name in printed.out for name in WORKLOADS)
    assert {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()} == before
