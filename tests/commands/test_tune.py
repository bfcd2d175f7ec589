"""``tune`` through the command line: its table, its files, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from tests.command_line import OLD, ROOT, names_here, scenario, work_in

FLIGHTS = str(ROOT / "data" / "flights_weather.json")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own that has an older summary in it."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


def tune(*argv: str) -> int:
    return main(["tune", "--input", "in.json", *argv])


def test_the_settings_worth_choosing_are_printed_as_a_table_the_least_memory_first(capsys):
    assert tune("--jobs", "2") == 0
    printed = capsys.readouterr()
    assert [line.rstrip() for line in printed.out.splitlines()] == TABLE.strip("\n").splitlines()
    assert printed.err == ""
    assert names_here() == ["in.json", "old.json"]


TABLE = """
capacity  eviction  miss threshold  backfill batch  selection  successors  max backfills  entries  source calls  keys read  cost  hit rate
       1  fifo                 0.4               3     source           0           none        1             7          5     7     0.00%
       3  fifo                 0.4              10     source           0           none        3             5          4     5    28.57%
    none  fifo                 0.4              10     source           0           none        5             4          5     4    42.86%
    none  fifo                 0.4               3     source           0           none        5             5          5     5    42.86%
last line: the scenario's own settings; 46 settings tried on 7 lookups of 6 keys
cost: source calls, and one more for each 100 keys read
"""


def test_the_report_and_the_picture_are_the_same_bytes_with_any_number_of_workers(capsys):
    assert tune("--jobs", "1", "--output", "one.json", "--plot", "one.svg", "--trials", "20") == 0
    assert tune("--jobs", "3", "--output", "three.json", "--plot", "three.svg", "--trials", "20") == 0
    assert Path("one.json").read_bytes() == Path("three.json").read_bytes()
    assert Path("one.svg").read_bytes() == Path("three.svg").read_bytes()
    assert capsys.readouterr().out.splitlines()[-1] == "three.json and three.svg written"


def test_the_report_holds_what_the_table_shows():
    assert tune("--output", "old.json", "--quiet") == 0
    report = json.loads(Path("old.json").read_text("utf-8"))
    assert (report["lookups"], report["keys"], report["sample"]) == (7, 6, None)
    assert report["worth_choosing"][0] == {
        "settings": {
            "capacity": 1,
            "eviction": "fifo",
            "miss_threshold": 0.4,
            "backfill_batch": 3,
            "selection": "source",
            "successors": 0,
            "max_backfills": None,
        },
        "entries": 1,
        "source_calls": 7,
        "source_keys": 5,
        "cost": 7.05,
        "hit_rate": 0.0,
        "hit_rate_margin": 0.0,
        "backfills": report["worth_choosing"][0]["backfills"],
    }
    assert report["scenario"]["settings"]["backfill_batch"] == 3


def test_the_figures_of_the_scenario_are_those_of_its_summary():
    assert tune("--output", "report.json", "--quiet", "--jobs", "1") == 0
    assert main(["--input", "in.json", "--output", "summary.json", "--quiet"]) == 0
    own = json.loads(Path("report.json").read_text("utf-8"))["scenario"]
    summary = json.loads(Path("summary.json").read_text("utf-8"))
    assert own["entries"] == summary["cache_size"]
    for name in ("source_calls", "source_keys", "hit_rate", "backfills"):
        assert own[name] == summary[name]


def test_the_figures_of_a_scenario_with_a_flush_are_those_of_its_summary():
    source = {"kind": "simulated", "keys": 20, "error_rate": 0.2}
    lookups = [f"key_{number * number % 23}" for number in range(60)]
    Path("in.json").write_text(scenario(source=source, lookups=lookups, flush_at=58, min_lookups=5), "utf-8")
    assert tune("--output", "report.json", "--quiet", "--jobs", "1", "--trials", "1") == 0
    assert main(["--input", "in.json", "--output", "summary.json", "--quiet"]) == 0
    own = json.loads(Path("report.json").read_text("utf-8"))["scenario"]
    summary = json.loads(Path("summary.json").read_text("utf-8"))
    for name in ("source_calls", "source_keys", "hit_rate", "backfills"):
        assert own[name] == summary[name]
    assert own["entries"] > summary["cache_size"]


def test_latency_takes_no_time_and_errors_are_those_of_the_summary():
    source = {"kind": "simulated", "keys": 50, "latency": 3600.0, "jitter": 10.0, "error_rate": 0.2}
    lookups = [f"key_{number * number % 50}" for number in range(200)]
    Path("in.json").write_text(scenario(source=source, lookups=lookups, max_backfills=0), "utf-8")
    assert tune("--output", "report.json", "--quiet", "--trials", "1") == 0
    source["latency"] = source["jitter"] = 0.0
    Path("fast.json").write_text(scenario(source=source, lookups=lookups, max_backfills=0), "utf-8")
    assert main(["--input", "fast.json", "--output", "summary.json", "--quiet"]) == 0
    own = json.loads(Path("report.json").read_text("utf-8"))["scenario"]
    summary = json.loads(Path("summary.json").read_text("utf-8"))
    assert own["hit_rate"] == summary["hit_rate"]
    assert own["source_calls"] == summary["source_calls"]
    assert summary["failed"] > 0


def test_no_more_settings_are_tried_than_was_said():
    assert tune("--output", "report.json", "--quiet", "--trials", "5", "--jobs", "1") == 0
    assert json.loads(Path("report.json").read_text("utf-8"))["tried"] == 5


def test_a_checked_sample_prints_full_replays_and_how_far_the_sample_was_off(capsys):
    lookups = [f"key_{number * number % 977}" for number in range(5000)]
    source = {"kind": "simulated", "keys": 1000}
    Path("in.json").write_text(scenario(source=source, lookups=lookups, max_backfills=0), "utf-8")
    sampled = ["--trials", "2", "--jobs", "1", "--sample", "0.2"]
    assert tune("--output", "sampled.json", *sampled) == 0
    assert "estimates, give or take" in capsys.readouterr().out
    assert tune("--output", "checked.json", *sampled, "--check") == 0
    assert "sampled hit rates were off by" in capsys.readouterr().out
    assert tune("--output", "full.json", "--trials", "2", "--jobs", "1", "--quiet") == 0
    estimate, checked, full = (
        json.loads(Path(f"{name}.json").read_text("utf-8")) for name in ("sampled", "checked", "full")
    )
    assert checked["scenario"] == full["scenario"]
    assert estimate["sample"]["hit_rate_error"] is None
    differences = [
        abs(one["hit_rate"] - other["hit_rate"])
        for one, other in zip(
            [estimate["scenario"], *estimate["worth_choosing"]],
            [checked["scenario"], *checked["worth_choosing"]],
            strict=True,
        )
    ]
    assert checked["sample"]["hit_rate_error"] == pytest.approx(max(differences), abs=0.0002)
    off = abs(estimate["scenario"]["hit_rate"] - full["scenario"]["hit_rate"])
    assert off <= estimate["scenario"]["hit_rate_margin"]


def test_a_scenario_without_lookups_has_a_table(capsys):
    Path("in.json").write_text(scenario(lookups=[]), "utf-8")
    assert tune("--jobs", "1") == 0
    assert "settings tried on 0 lookups of 0 keys" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--jobs", "0"], ["--jobs: 0 is less than 1"]),
        (["--jobs", "1.5"], ["--jobs", '"1.5" is not a whole number']),
        (["--trials", "0"], ["--trials: 0 is less than 1"]),
        (["--sample", "0"], ["--sample: 0.0 is not above 0"]),
        (["--sample", "1.1"], ["--sample: 1.1 is not between 0.0 and 1.0"]),
        (["--sample", "nan"], ["--sample: nan is not between"]),
        (["--sample", "0.000001"], ["--sample: a sample of 1e-06 has none of the looked-up keys"]),
        (["--check"], ["--check: needs --sample: without a sample there is nothing to check"]),
        (["--smaple", "0.1"], ["--smaple", "--sample"]),
        (["--output", "in.json"], ["in.json: would overwrite in.json, which this run reads"]),
        (["--plot", "no/where.svg"], ["no/where.svg: the folder"]),
        (["--output", "new", "--plot", "./new"], ["./new: is also the file of --output"]),
        (["--input", "twice.json"], ["--input", "multiple times"]),
    ],
)
def test_a_bad_option_is_refused_in_one_line_and_nothing_is_written(capsys, options, parts):
    assert tune(*options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    for part in parts:
        assert part in printed.err
    assert names_here() == ["in.json", "old.json"]
    assert Path("old.json").read_bytes() == OLD


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"miss_threshold": 2}, "in.json: $.miss_threshold: 2.0 is not between 0.01 and 1.0"),
        ({"source": {"kind": "simulated", "keys": 1, "jitter": -1}}, "in.json: $.source.jitter: -1.0 is"),
        ({"lookups": {"file": "none.keys"}}, "in.json: $.lookups: "),
        (
            {"capacity_bytes": 9},
            "in.json: $.capacity_bytes: bounds bytes, and tune counts keys: leave it out",
        ),
        ({"source": {"kind": "table", "file": "no.csv", "key": "k"}}, "in.json: $.source: "),
    ],
)
def test_a_bad_scenario_is_refused_by_file_and_path(capsys, document, problem):
    Path("in.json").write_text(scenario(**document), "utf-8")
    assert tune() == 2
    assert capsys.readouterr().err.startswith(f"error: {problem}")


def test_a_picture_without_the_library_for_it_is_refused_by_the_name_of_the_extra(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "async_backfill._runner.tuning.plot", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    assert tune("--plot", "tune.svg") == 2
    complaint = "error: --plot: needs matplotlib: pip install 'async-backfill[report]'\n"
    assert capsys.readouterr().err == complaint
    assert names_here() == ["in.json", "old.json"]
