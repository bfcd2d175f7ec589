"""Cache traces as lookups: their times, sizes and lifetimes, and what is cut out of them."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from tests.command_line import work_in

# time, key, size of the key, of the value, client, operation, ttl; a get says no ttl
TWITTER = """\
100,user:1,6,94,0,get,0
100,a,b,3,97,0,set,30
101,user:1,6,94,1,get,0
110,a,b,3,97,0,get,0
125,user:1,6,94,1,get,0
140,a,b,3,97,0,get,0
"""
ROWS = [(5, "10", 4096), (6, "11", 512), (6, "10", 4096), (9, "12", 512), (9, "10", 8192)]
CSV = "".join(f"{time},{size},{key}\n" for time, key, size in ROWS)
BINARY = b"".join(struct.pack("<IQIq", time, int(key), size, -1) for time, key, size in ROWS)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own with the same trace in several forms."""
    work_in(tmp_path, monkeypatch)
    Path("twitter.csv").write_text(TWITTER)
    Path("headed.csv").write_text(f"time,obj_size,obj_id\n{CSV}")
    Path("lbn.csv").write_text(f"# time, size, lbn\n{CSV}")
    Path("bare.csv").write_text(CSV)
    Path("io.oracleGeneral.bin").write_bytes(BINARY)
    Path("io.oracleGeneral.gz").write_bytes(gzip.compress(BINARY))
    return tmp_path


def told(capsys) -> str:
    return capsys.readouterr().out.splitlines()[0]


def replayed(file: str, *options: str, settings: dict | None = None, **fields: object) -> dict:
    scenario = {
        "source": {"kind": "simulated", "keys": "lookups"},
        "lookups": {"file": file, **fields},
        "max_backfills": 0,
        **(settings or {}),
    }
    Path("trace.json").write_text(json.dumps(scenario))
    assert main(["--input", "trace.json", "--output", "out.json", *options]) == 0
    return json.loads(Path("out.json").read_text())


def keys(summary: dict) -> list[str]:
    return [result["key"] for result in summary["lookup_results"]]


FORMS = {
    "headed": ("headed.csv", {}),
    "block numbers": ("lbn.csv", {}),
    "without a header": ("bare.csv", {"column": "3", "time": "1", "size": "2"}),
    "with other names": ("headed.csv", {"column": "obj_id", "time": "time", "size": "obj_size"}),
    "oracleGeneral": ("io.oracleGeneral.bin", {}),
    "oracleGeneral, gzip": ("io.oracleGeneral.gz", {}),
}


@pytest.mark.parametrize(("file", "fields"), FORMS.values(), ids=FORMS)
def test_each_form_of_a_trace_keeps_its_times_and_its_sizes(file, fields):
    summary = replayed(file, "--virtual-time", settings={"capacity_bytes": 8704}, **fields)
    assert keys(summary) == ["10", "11", "10", "12", "10"]
    assert summary["virtual_seconds"] == 4.0
    # 10 and 11 weigh 4,608; 12 makes 5,120; the last 10 is a hit, whose size of 8,192 does not count yet.
    assert (summary["hits"], summary["evictions"], summary["cache_size"]) == (2, 0, 3)
    assert summary["settings"]["capacity_bytes"] == 8704


def test_twitters_form_is_told_and_its_keys_may_hold_commas(capsys):
    summary = replayed("twitter.csv")
    assert keys(summary) == ["user:1", "a,b", "user:1", "a,b", "user:1", "a,b"]
    form = "cache trace of Twitter's form, key: the second field"
    assert told(capsys) == (
        f"lookups: twitter.csv: {form}: 6 lookups in 6 lines, with times and sizes and ttls"
    )


def test_a_ttl_that_a_set_says_ends_what_later_gets_find():
    timed = replayed("twitter.csv", "--virtual-time")
    # a,b is good for 30 s: loaded at 100 s, it is there at 110 s and gone at 140 s.
    assert (timed["hits"], timed["misses"], timed["virtual_seconds"]) == (3, 3, 40.0)
    assert replayed("twitter.csv")["hits"] == 4  # without virtual time nothing expires
    assert replayed("twitter.csv", "--virtual-time", "--ttl", "10")["hits"] == 2  # user:1 has no ttl


def test_requests_that_do_not_count_still_say_ttls():
    timed = replayed("twitter.csv", "--virtual-time", method=["get"])
    assert keys(timed) == ["user:1", "user:1", "a,b", "user:1", "a,b"]
    assert timed["hits"] == 2 + 0


@pytest.mark.parametrize(
    "damaged",
    [
        f"103,a,4,{10**20},1,get,0",
        "103,a,4,-5,1,get,0",
        "103,a,4,100,1,get,-7",
        "103,a,4,100,1,get,inf",
        "nan,a,4,100,1,get,0",
        "103,a,4,100,1,get",
    ],
)
def test_a_damaged_line_of_twitters_form_does_not_count(capsys, damaged):
    Path("damaged.csv").write_text(f"{TWITTER}{damaged}\n150,user:1,6,94,1,get,0\n")
    summary = replayed("damaged.csv", "--virtual-time", settings={"capacity_bytes": 1000})
    assert (summary["lookups"], summary["virtual_seconds"]) == (7, 50.0)
    assert "7 lookups in 8 lines, 1 without one that counts" in told(capsys)


def test_an_object_that_is_larger_than_the_cache_is_not_kept():
    summary = replayed("headed.csv", settings={"capacity_bytes": 1000})
    assert (summary["hits"], summary["cache_size"]) == (0, 1)


def test_a_key_weighs_what_its_latest_request_says():
    Path("grows.csv").write_text("time,key,size\n0,a,10\n1,a,10\n2,b,90\n3,a,95\n4,c,50\n5,a,95\n")
    summary = replayed("grows.csv", settings={"capacity_bytes": 100})
    # a weighs 10 beside b's 90; c pushes both out; a is loaded anew, with 95.
    assert (summary["hits"], summary["evictions"], summary["cache_size"]) == (2, 3, 1)


@pytest.mark.parametrize("concurrency", [1, 2, 100])
def test_an_object_changes_when_its_request_begins_and_not_before(concurrency):
    settings = {"concurrency": concurrency, "capacity_bytes": 1000}
    rows = ["0,a,10,1000", "10,a,10,1000", "20,b,10,1000", "200,a,10,5", "202,c,10,0", "220,a,10,5"]
    Path("ends.csv").write_text("\n".join(["time,key,size,ttl", *rows]))
    # a is loaded once, for 1,000 s: what a later request says of it holds for the next load.
    assert replayed("ends.csv", "--virtual-time", settings=settings)["hits"] == 3
    rows = ["0,a,10", "10,a,10", "20,b,90", "30,a,10", "40,b,90", "200,a,5000"]
    Path("large.csv").write_text("\n".join(["time,key,size", *rows]))
    assert replayed("large.csv", "--virtual-time", settings=settings)["hits"] == 4


@pytest.mark.parametrize(
    ("cut", "left", "seconds"),
    [
        ({"from": 1}, ["11", "10", "12", "10"], 3.0),
        ({"until": 4}, ["10", "11", "10"], 1.0),
        ({"from": 1, "until": 2}, ["11", "10"], 0.0),
        ({"from": 4, "until": 5}, ["12", "10"], 0.0),
    ],
)
def test_a_trace_is_cut_by_seconds_since_its_first_request(cut, left, seconds):
    summary = replayed("headed.csv", "--virtual-time", **cut)
    assert keys(summary) == left
    assert summary["virtual_seconds"] == seconds


def test_times_that_go_back_wait_for_none():
    Path("back.csv").write_text("time,key\n5,a\n3,b\n7,c\n")
    summary = replayed("back.csv", "--virtual-time")
    assert (keys(summary), summary["virtual_seconds"]) == (["a", "b", "c"], 2.0)


def test_a_rate_of_the_scenario_wins_over_the_times_of_a_trace():
    summary = replayed("headed.csv", "--virtual-time", "--lookups-per-second", "1000")
    assert summary["virtual_seconds"] < 1.0


REFUSED = {
    "no times to cut by": ("keys", {"from": 1}, "$.lookups.from: needs times, as a cache trace has"),
    "columns of no table": (
        "keys",
        {"time": "t", "column": "k"},
        "time, size and ttl are columns of a table",
    ),
    "columns without a key": ("bare.csv", {"time": "1"}, "time, size and ttl need column"),
    "no such column": ("bare.csv", {"column": "3", "time": "when"}, 'has no column "when"'),
    "a cut that leaves nothing": ("headed.csv", {"from": 9}, "from, until and method leave none of its 5"),
    "a cut that ends first": ("headed.csv", {"from": 3, "until": 2}, "leave none of its 5 lookups of 4 s"),
    "a size that is no number": ("words.csv", {}, "words.csv:3: invalid literal for int"),
    "a time that is none": ("times.csv", {}, "times.csv:2: could not convert string to float"),
    "a negative size": ("negative.csv", {}, 'negative.csv:2: "-5" is no size, 0 to'),
    "a size with too many digits": ("huge.csv", {}, f'huge.csv:2: "{10**19}" is no size, 0 to'),
    "an infinite time": ("inf.csv", {}, 'inf.csv:2: "inf" is not 0 or more'),
    "a row that is cut off": ("short.csv", {}, "short.csv:3: the row has 2 cells, too few"),
    "half a record": ("half.oracleGeneral", {}, "has 47 bytes, no whole number of records of 24"),
    "a method for a table": ("headed.csv", {"method": ["get"]}, "headed.csv: is no log of requests"),
    "a method for columns": (
        "bare.csv",
        {"column": "3", "time": "1", "method": ["get"]},
        "is no log of requests",
    ),
    "a status for a binary trace": ("io.oracleGeneral.bin", {"status": ["200"]}, "is no log of requests"),
    "a method for a column": ("bare.csv", {"column": "3", "method": ["get"]}, "is no log of requests"),
    "columns of a binary trace": ("io.oracleGeneral.bin", {"time": "1"}, "columns of a table"),
}


@pytest.mark.parametrize(("file", "fields", "problem"), REFUSED.values(), ids=REFUSED)
def test_a_trace_that_cannot_be_read_is_refused_in_one_line(capsys, file, fields, problem):
    Path("keys").write_text("a\nb\n")
    Path("words.csv").write_text("time,key,size\n1,a,1\n1,b,large\n")
    Path("times.csv").write_text("time,key\nnoon,a\n")
    Path("negative.csv").write_text("time,key,size\n1,a,-5\n")
    Path("huge.csv").write_text(f"time,key,size\n1,a,{10**19}\n")
    Path("inf.csv").write_text("time,key\ninf,a\n")
    Path("short.csv").write_text("time,size,key\n1,2,a\n1,2\n")
    Path("half.oracleGeneral").write_bytes(BINARY[:47])
    scenario = {"source": {}, "lookups": {"file": file, **fields}}
    Path("trace.json").write_text(json.dumps(scenario))
    assert main(["--input", "trace.json", "--output", "out.json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
    assert not Path("out.json").exists()


def test_a_capacity_in_bytes_needs_sizes(capsys):
    assert main(["--input", "in.json", "--output", "out.json", "--capacity-bytes", "9"]) == 2
    assert "--capacity-bytes: needs lookups with sizes, as a cache trace has" in capsys.readouterr().err


def test_a_source_of_the_lookups_has_their_keys_and_no_others():
    scenario = {"source": {"kind": "simulated", "keys": "lookups"}, "lookups": ["b", "a", "b"]}
    Path("own.json").write_text(json.dumps(scenario))
    assert main(["--input", "own.json", "--output", "out.json"]) == 0
    summary = json.loads(Path("out.json").read_text())
    assert (summary["absent"], summary["source_keys"]) == (0, 2)
