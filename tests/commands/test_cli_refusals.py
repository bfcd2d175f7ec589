"""The command line: bad commands and bad input are one line, exit code 2, and change nothing."""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from tests.command_line import OLD, SAMPLE, names_here, scenario, work_in


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own that has an older summary in it."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


def refusal(capsys, *argv: str) -> str:
    """The complaint of a command that did nothing else."""
    before = names_here()
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.endswith("\n")
    assert printed.err[:-1].isprintable()
    assert Path("old.json").read_bytes() == OLD
    assert names_here() == before
    return printed.err[len("error: ") : -1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "--input"),
        (["--input", "in.json"], "--output"),
        (["--output", "old.json"], "--input"),
        (["in.json", "old.json"], "--input"),
    ],
)
def test_a_command_without_input_or_output_is_refused(capsys, options, problem):
    assert problem in refusal(capsys, *options)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--miss-treshold", "0.5"], ["--miss-treshold", "--miss-threshold"]),
        (["--miss-threshold", "much"], ["--miss-threshold", '"much"']),
        (["--miss-threshold"], ["--miss-threshold"]),
        (["--miss-threshold", "0"], ["--miss-threshold: 0.0 is not between 0.01 and 1.0 (at 0 every"]),
        (["--miss-threshold", "nan"], ["--miss-threshold: nan is not between"]),
        (["--miss-threshold", "1e999"], ["--miss-threshold: inf is not between"]),
        (["--backfill-batch", "0"], ["--backfill-batch: 0 is less than 1"]),
        (["--backfill-batch", "2.5"], ["--backfill-batch", '"2.5" is not a whole number']),
        (["--backfill-batch", "9" * 5000], ["--backfill-batch", "is not a whole number"]),
        (["--max-backfills", "-1"], ["--max-backfills: -1 is less than 0"]),
        (["--max-backfills", "many"], ["--max-backfills", '"many"']),
        (["--capacity", "0"], ["--capacity: 0 is less than 1"]),
        (["--window", ""], ["--window", '""']),
        (["--min-lookups", "0"], ["--min-lookups: 0 is less than 1"]),
        (["--window", "2"], ["--window: 2 is less than min_lookups, which is 3: no backfill could start"]),
        (["--max-failed", "1.5"], ["--max-failed: 1.5 is not between 0.0 and 1.0"]),
        (["--lookups-per-second", "0"], ["--lookups-per-second: 0.0 is not above 0"]),
        (["--lookups-per-second", "many"], ["--lookups-per-second", '"many"']),
        (["--ttl", "-1"], ["--ttl: -1.0 is not 0.0 or more"]),
        (["--ttl-jitter", "0.5"], ["--ttl-jitter: has no effect without ttl"]),
        (["--ttl-seed", "1.5"], ["--ttl-seed", '"1.5" is not a whole number']),
        (["--concurrency", "0"], ["--concurrency: 0 is less than 1"]),
        (["--backfill-evicts=perhaps"], ["--backfill-evicts", '"perhaps"']),
        (["--eviction", "mru"], ["--eviction", '"mru"', '"fifo"']),
        (["--format", "xml"], ["--format", '"xml"', '"table"', '"json"']),
        (["--results-limit", "-1"], ["--results-limit: -1 is less than 0"]),
        (["--input", "twice.json"], ["--input", "multiple times"]),
        (["surplus"], ["surplus"]),
        (["--", "surplus"], ["surplus"]),
    ],
)
def test_a_bad_option_is_refused_by_name(capsys, options, parts):
    message = refusal(capsys, "--input", "in.json", "--output", "old.json", *options)
    for part in parts:
        assert part in message
    assert len(message) < 500


def test_two_outputs_that_are_one_file_are_refused(capsys):
    message = refusal(capsys, "--input", "in.json", "--output", "old.json", "--journal", "./old.json")
    assert message == "./old.json: is also the file of --output"


def test_a_missing_extra_is_refused_with_the_command_that_installs_it(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "async_backfill._runner.replay.virtual_time", raising=False)
    monkeypatch.setitem(sys.modules, "looptime", None)
    message = refusal(capsys, "--input", "in.json", "--output", "old.json", "--virtual-time")
    assert message == "--virtual-time: needs looptime: pip install 'async-backfill[virtual]'"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "in.json: the file is empty, expected a scenario in JSON or TOML"),
        (SAMPLE[:100], "in.json:5:20: not JSON: Unterminated string"),
        ('{"source": {"a": 1},\n "lookups": ["a", b]}', "in.json:2:19: not JSON: Expecting value"),
        ("lookups = [\n", "in.json:2:1: not TOML: Invalid value"),
        (b'{"source": {"\xff": 1}}', "in.json:1: not UTF-8 text: byte 13 is 0xff"),
        (gzip.compress(SAMPLE.encode(), mtime=0)[:-9], "in.json: the gzip data is cut off or damaged: "),
        (scenario(miss_treshold=0.5), "in.json: $.miss_treshold: unknown name, the nearest known one is "),
        (scenario(miss_threshold="0.5"), 'in.json: $.miss_threshold: expected a number, got "0.5"'),
        (scenario(miss_threshold=0.0), "in.json: $.miss_threshold: 0.0 is not between 0.01 and 1.0 (at 0 "),
        (
            scenario(lookups=["a", 5]),
            "in.json: $.lookups[1]: 5 cannot be a key of the source, expected text",
        ),
        (scenario()[:-1] + ', "window": NaN}', "in.json: $.window: NaN is not a JSON number"),
        (scenario()[:-1] + ', "window": 1e999}', "in.json: $.window: 1e999 is not a finite number"),
        (scenario()[:-1] + ', "lookups": []}', "in.json: $.lookups: appears twice"),
        (scenario(source={"a": "\ud800"}), 'in.json: $.source.a: "\\ud800" holds half of a surrogate pair'),
        (scenario()[:-1] + f', "window": {"9" * 5000}}}', "in.json: $.window: a whole number of 5000 digits"),
        ('{"source": ' + "[" * 9999, "in.json: nested deeper than 100 levels"),
        ('{"source": {}}', "in.json: $.lookups: is missing"),
        (scenario(**{"a\nb\x1b[2J": 1}), 'in.json: $["a\\nb\\u001b[2J"]: unknown name'),
        (
            scenario(source={"kind": "table", "file": "rows.csv", "key": "id"}),
            'in.json: $.source: rows.csv:4: the key "a" appears twice, first in line 2',
        ),
        (
            scenario(source={"kind": "table", "file": "rows.csv", "key": "nam"}),
            'in.json: $.source: rows.csv:1: no column "nam", the nearest is "name"',
        ),
        (scenario(lookups={"file": "keys"}), "in.json: $.lookups: keys:2: the line is blank, expected a key"),
        (scenario(lookups={"file": "."}), "in.json: $.lookups: .: cannot be read: is a directory"),
        (scenario(lookups={"file": "no"}), "in.json: $.lookups: no: cannot be read: no such file"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_bad_input_is_one_line_with_its_place_and_writes_nothing(capsys, content, message):
    Path("rows.csv").write_text("id,name\na,1\nb,2\na,3\n", "utf-8")
    Path("keys").write_text("a\n\nb\n", "utf-8")
    Path("in.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(capsys, "--input", "in.json", "--output", "old.json").startswith(message)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.json", "missing.json: cannot be read: no such file or directory"),
        (".", ".: cannot be read: is a directory"),
        ("a\0b", "a\\x00b: cannot be read: embedded null byte"),
        ("a\nb\x1b[2J", "a\\nb\\x1b[2J: cannot be read: no such file or directory"),
    ],
)
def test_an_input_that_cannot_be_read_is_refused(capsys, name, problem):
    assert refusal(capsys, "--input", name, "--output", "old.json") == problem


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (".", ".: is a folder, expected a file"),
        ("no/x.json", "no/x.json: the folder "),
        ("pipe", "pipe: is not a regular file"),
        ("in.json", "in.json: would overwrite in.json, which this run reads"),
        ("a\0b", "a\\x00b: cannot be written: embedded null byte"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(capsys, folder, name, problem):
    os.mkfifo(folder / "pipe")
    assert refusal(capsys, "--input", "in.json", "--output", name).startswith(problem)
