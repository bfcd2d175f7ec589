"""The benchmark of eviction orders counts right, and compares only equal conditions."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from async_backfill import ScenarioError
from async_backfill.stores._eviction.orders import EVICTIONS
from benchmarks.hit_ratios.reference import FILE_NAME, References, read_references
from benchmarks.hit_ratios.replay import count_hits, read_trace, replays, trace_of
from benchmarks.hit_ratios.report import encode, largest_difference, print_largest, print_trace

ROOT = Path(__file__).parents[2]
HEADER = "trace,capacity,policy,hit_ratio,requests,unique,fraction,simulator\n"


def small_trace():
    return trace_of("small", [str(number % 7 * (number % 3)) for number in range(300)])


def run(*arguments):
    command = [sys.executable, "-W", "error", "-m", "benchmarks.hit_ratios", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("eviction", "hits"), [("fifo", 1), ("lru", 2), ("sieve", 2), ("s3-fifo", 1)])
def test_a_run_small_enough_to_do_by_hand_comes_to_what_the_hand_comes_to(eviction, hits):
    # The first hit is the third request in every order. Then c pushes out a, which came first and was
    # hit only once, or b, which was not hit; the last request hits where a is still there.
    assert count_hits("abaca", 2, eviction) == hits


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_a_cache_for_all_keys_misses_each_of_them_once(eviction):
    assert count_hits("abcabcabc", 3, eviction) == 6


def test_each_order_is_replayed_at_each_capacity_and_never_with_none():
    measured = list(replays(small_trace()))

    assert [replay.eviction for replay in measured] == [*EVICTIONS] * 3
    assert [replay.capacity for replay in measured] == [1] * 12
    assert all(replay.hits < replay.requests == 300 for replay in measured)


def test_the_real_trace_hits_as_often_as_it_ever_did():
    flights = anyio.run(read_trace, ROOT / "data" / "flights_weather.keys.gz")
    assert (len(flights.requests), flights.unique) == (336_776, 19_486)

    ratios = [count_hits(flights.requests, 195, eviction) / 336_776 for eviction in EVICTIONS]
    assert ratios == pytest.approx([0.9421, 0.9421, 0.9420, 0.9405], abs=0.0001)


def test_rows_that_a_simulator_could_not_work_out_are_left_out(tmp_path):
    rows = [
        "small,1,FIFO,0.250000,300,13,0.1,one",
        "small,1,FIFO,0.300000,300,13,0.1,other",
        "small,1,FIFO,0.000000,300,13,0.1,third DEGENERATE(rejects all)",
        "small,1,FIFO,,300,13,0.1,fourth FAILED (crash)",
        "small,1,OPT,0.9,300,13,0.1,one",
    ]
    (tmp_path / FILE_NAME).write_text(HEADER + "\n".join(rows))

    cases = read_references(tmp_path).cases
    assert cases["small", 1, "fifo", 300, 13] == {"one": 0.25, "other": 0.3}


def test_without_a_file_there_is_nothing_to_compare_with(tmp_path):
    assert read_references(tmp_path).cases == {}


@pytest.mark.parametrize("row", ["small,1,FIFO,high,1,1,0.1,one", "small,,FIFO,0.5,1,1,0.1,one", "small"])
def test_a_row_that_cannot_be_read_is_refused_with_its_place(tmp_path, row):
    (tmp_path / FILE_NAME).write_text(HEADER + row)
    with pytest.raises(ScenarioError, match=r"reference_hit_ratios\.csv:2"):
        read_references(tmp_path)


def test_only_the_very_same_requests_are_compared():
    replay = next(replays(small_trace()))
    case = (replay.trace, replay.capacity, replay.eviction, replay.requests, replay.unique)
    alike = References({case: {"one": replay.hit_ratio + 0.25, "other": replay.hit_ratio}})
    other = References({(*case[:3], 299, replay.unique): {"one": 0.0}})

    assert largest_difference([replay], alike) == pytest.approx(0.25)
    assert largest_difference([replay], other) is None


def test_the_table_and_the_json_say_the_same_each_time_and_name_the_differences():
    measured = list(replays(small_trace()))
    first = measured[0]
    case = (first.trace, first.capacity, first.eviction, first.requests, first.unique)
    references = References({case: {"one": first.hit_ratio + 0.125}})
    printed = io.StringIO()
    print_trace(measured, references, printed)
    print_largest(measured, references, printed)

    # The three shares come to the same capacity here, and so to the same reference.
    assert "fifo: 3 references, largest difference of a hit ratio 0.125000" in printed.getvalue()
    assert "small: 300 requests" in printed.getvalue()
    document = encode(measured, references)
    assert document == encode(list(replays(small_trace())), references)
    rows = json.loads(document)["traces"]["small"]
    assert (len(rows), rows[0]["references"]) == (12, {"one": first.hit_ratio + 0.125})


def test_the_command_replays_a_folder_of_traces_and_writes_where_it_is_told(tmp_path):
    (tmp_path / "plain.keys").write_text("a\nb\na\n")
    (tmp_path / "packed.keys.gz").write_bytes(gzip.compress(b"a\na\n"))
    ended = run("--traces", tmp_path, "--output-dir", tmp_path / "out")

    assert (ended.returncode, ended.stderr) == (0, "")
    written = json.loads((tmp_path / "out" / "hit_ratios.json").read_text())
    assert sorted(written["traces"]) == ["packed", "plain"]


def test_a_folder_without_traces_is_refused_in_one_line(tmp_path):
    ended = run("--traces", tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
