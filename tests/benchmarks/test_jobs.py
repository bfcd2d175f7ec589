"""The benchmark of jobs copies all rows in each of its ways, and judges them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import anyio
import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("aiosqlite")
pytest.importorskip("asyncpg")
pytest.importorskip("redis")

from async_backfill.jobs import JobStatus
from benchmarks.jobs import states
from benchmarks.jobs.checkpoints import checkpoint_seconds
from benchmarks.jobs.copies import CONTENDERS, Timed, timed
from benchmarks.jobs.experiment import Results, WrongCopyError, run_once
from benchmarks.jobs.places import files
from benchmarks.jobs.report import encode, goals, print_results
from benchmarks.jobs.used import Used

ROWS = 300


@pytest.mark.parametrize("name", CONTENDERS)
def test_each_way_copies_all_rows_and_is_measured_until_they_are_compared(name):
    with files(ROWS) as place:
        made = anyio.run(timed, name, place)

    assert (made.rows, made.pages > 0) == (ROWS, True)
    assert 0 < made.used.own <= made.verified.own
    assert (made.used.clock < made.verified.clock) is name.startswith("job")
    assert made.peak_bytes > 10_000_000
    if name != "job, no state":
        assert made.status == JobStatus.DONE


def test_a_state_that_keeps_nothing_is_told_of_no_page():
    with files(ROWS) as place:
        pages = {name: anyio.run(timed, name, clean(place)).pages for name in ("job", "job, no state")}

    assert pages["job, no state"] < pages["job"]


def clean(place):
    for path in Path(place.folder).glob("jobs.sqlite*"):
        path.unlink()
    return place


def test_a_checkpoint_is_measured_alone():
    with files(ROWS) as place:
        own, clock = anyio.run(checkpoint_seconds, place, 20)

    assert 0 < own < 1.0 > clock > 0


def test_checkpoints_to_a_file_and_to_postgresql_are_measured(postgres_url, capsys):
    states.benchmark(times=4, workers=2, postgres=postgres_url)

    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines() if "QL" in line]
    assert [(name.strip(), int(workers)) for name, workers in rows] == [
        (name, workers) for name in ("SQLite", "PostgreSQL") for workers in (1, 2)
    ]


def test_a_copy_that_left_something_out_is_no_figure(monkeypatch):
    short = Timed(rows=ROWS - 1, used=used(1.0), verified=used(1.0), pages=1)
    monkeypatch.setattr("benchmarks.jobs.experiment.in_a_process", lambda *_: short)
    with files(ROWS) as place, pytest.raises(WrongCopyError, match="guarded: 299 of 300 rows were kept"):
        run_once("guarded", place)


def used(own):
    return Used(clock=2 * own, own=own, servers=0.0)


def made_up(job=1.2, *, peak=100_000_000, checkpoint=0.001):
    times = {"unguarded": 1.0, "guarded": 1.1, "job": job, "job, no state": 1.19}
    runs = {
        name: [Timed(rows=1_000, used=used(own), verified=used(2 * own), pages=10, peak_bytes=peak)] * 2
        for name, own in times.items()
    }
    return Results("here", 1_000, runs, (checkpoint, 2 * checkpoint), runs["job"][0])


@pytest.mark.parametrize(
    ("results", "reached"),
    [
        (made_up(), [True, True, True, True]),
        (made_up(1.3), [True, False, True, True]),
        (made_up(1.4), [False, False, True, True]),
        (made_up(checkpoint=0.004), [True, True, False, True]),
        (made_up(peak=200_000_000), [True, True, True, False]),
    ],
)
def test_a_goal_is_reached_or_not(results, reached):
    assert [goal.is_reached for goal in goals(results)] == reached


def test_the_table_and_the_json_have_all_figures():
    out = io.StringIO()
    print_results(made_up(), out)
    place = json.loads(encode([made_up()], "a machine"))["places"][0]

    assert "job, until a sample is verified" in out.getvalue()
    assert "A checkpoint: 1.000 ms of processor time, 2.000 ms by the clock. Medians of 2" in out.getvalue()
    assert set(place["contenders"]) == set(CONTENDERS)
    assert place["contenders"]["guarded"]["rows_per_second"]["clock"] == pytest.approx(1_000 / 2.2)
    assert place["verified"]["processor time"] == pytest.approx([1 / 2.4] * 2)
    assert place["large"]["peak_bytes"] == 100_000_000
    assert all(goal["reached"] for goal in place["goals"])
