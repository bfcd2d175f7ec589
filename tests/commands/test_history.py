"""``history``: make a journal from logs, through the command line."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from async_backfill import BackfillCache, BackfillPolicy, MappingSource
from async_backfill._commands.cli import main
from async_backfill._runner import display
from async_backfill.backfill.journal_file import JournalFile
from tests.command_line import ROOT, names_here, started, wait_until_read

OLD = b"a journal of an earlier run\n"
RUN = [sys.executable, "-m", "async_backfill", "history"]

LOG = "common or combined log, key: path without query"


def request(path, status=200):
    return f'10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET {path} HTTP/1.1" {status} 17'


ACCESS = "\n".join([*map(request, ["/a?x=1", "/b", "/a", "/c", "/a", "/b"]), ""])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own that has an access log and an older journal in it."""
    monkeypatch.chdir(tmp_path)
    Path("access.log").write_text(ACCESS)
    Path("old.journal").write_bytes(OLD)
    return tmp_path


def journal(path="hot.journal"):
    return anyio.run(JournalFile(path).load)


def hottest(path="hot.journal"):
    return list(journal(path).keys)


def test_the_journal_says_when_it_was_made_and_has_the_fingerprint_that_was_given():
    assert main(["history", "--from", "access.log", "--to", "hot.journal", "--fingerprint", "v1"]) == 0

    written = journal().provenance
    assert (written.cache, written.fingerprint) == (None, "v1")
    assert 0.0 <= time.time() - written.time < 600.0


def test_the_journal_holds_the_keys_of_the_log_hottest_first(capsys):
    assert main(["history", "--from", "access.log", "--to", "hot.journal"]) == 0
    assert capsys.readouterr() == (
        f"access.log: {LOG}: 6 lookups in 6 lines\nhot.journal written: 3 keys\n",
        "",
    )
    assert hottest() == ["/a", "/b", "/c"]
    assert journal().hit_rate is None


def test_a_cache_that_never_ran_starts_with_what_was_hot_in_the_log():
    main(["history", "--from", "access.log", "--to", "hot.journal", "--quiet"])
    source = MappingSource(dict.fromkeys(["/a", "/b", "/c", "/d", "/e"], "a page"))

    async def first_day():
        settings = {"backfill_batch": 2, "backfill": BackfillPolicy(selection="history", inline=True)}
        async with BackfillCache(source, journal=JournalFile("hot.journal"), **settings) as cache:
            await cache.force_backfill()
            return [key for key in ("/a", "/b", "/c", "/d", "/e") if cache.peek(key) is not None]

    assert anyio.run(first_day) == ["/a", "/b"]


def test_an_older_journal_is_replaced():
    assert main(["history", "--from", "access.log", "--to", "old.journal"]) == 0
    assert hottest("old.journal") == ["/a", "/b", "/c"]


def test_gzip_is_unpacked_whatever_the_name():
    Path("access.log").write_bytes(gzip.compress(ACCESS.encode()))
    assert main(["history", "--from", "access.log", "--to", "hot.journal"]) == 0
    assert hottest() == ["/a", "/b", "/c"]


def test_lines_without_a_key_are_counted(capsys):
    Path("access.log").write_bytes(b"started\n\n" + ACCESS.encode() + b"\xff\n")
    assert main(["history", "--from", "access.log", "--to", "hot.journal"]) == 0
    assert capsys.readouterr().out.startswith(f"access.log: {LOG}: 6 lookups in 8 lines, 2 without a key\n")


def test_several_logs_are_read_in_their_order_each_in_its_own_format(capsys):
    Path("keys").write_text("/b\n/d\n")
    options = ["--from", "access.log", "--from", "keys", "--to", "hot.journal", "--half-life", "1"]
    assert main(["history", *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"access.log: {LOG}: 6 lookups in 6 lines",
        "keys: one key a line: 2 lookups in 2 lines",
        "hot.journal written: 4 keys",
    ]
    assert hottest() == ["/d", "/b", "/a", "/c"]


def test_a_column_of_a_csv_table_is_the_key():
    Path("t.csv").write_text('time,url,user\n1,/a,"Ann, B."\n2,/b,x\n3,/b,"two\nlines"\n')
    assert main(["history", "--from", "t.csv", "--to", "hot.journal", "--column", "url"]) == 0
    assert journal().keys == pytest.approx({"/b": 2.0, "/a": 1.0}, rel=1e-3)


@pytest.mark.parametrize("pattern", [r"user=(\w+)", r"(from|by) user=(?P<key>\w+)"])
def test_a_pattern_says_what_the_key_is(pattern):
    Path("app.log").write_text("read by user=ann\nread by user=bob\nstopped\nread from user=bob\n")
    assert main(["history", "--from", "app.log", "--to", "hot.journal", "--pattern", pattern]) == 0
    assert hottest() == ["bob", "ann"]


def test_the_format_can_be_given_where_the_first_lines_say_something_else():
    assert main(["history", "--from", "access.log", "--to", "hot.journal", "--format", "keys"]) == 0
    assert request("/b") in journal().keys


def test_at_most_so_many_keys_are_remembered(capsys):
    Path("keys").write_text("".join(f"{number % 50}\n" for number in range(1000)))
    assert main(["history", "--from", "keys", "--to", "hot.journal", "--size", "7"]) == 0
    assert capsys.readouterr().out.endswith("hot.journal written: 7 keys\n")
    assert len(hottest()) == 7


def test_quiet_prints_nothing(capsys):
    assert main(["history", "--from", "access.log", "--to", "hot.journal", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert len(hottest()) == 3


@pytest.mark.parametrize(("options", "shown"), [([], True), (["--quiet"], False)])
def test_a_large_log_shows_its_progress_on_a_terminal_unless_it_is_to_be_quiet(monkeypatch, options, shown):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(display, "_LONG", 0.0)
    Path("keys").write_text(("x" * 999 + "\n") * 11_000)
    assert main(["history", "--from", "keys", "--to", "hot.journal", *options]) == 0
    assert ("reading" in terminal.getvalue()) == shown
    assert ("11.0/11.0 MB" in terminal.getvalue()) == shown


def test_help_names_every_option(capsys):
    assert main(["history", "--help"]) == 0
    printed = capsys.readouterr().out
    for option in ("from", "to", "format", "column", "pattern", "size", "half-life", "quiet"):
        assert f"--{option} " in printed
    assert main(["--help"]) == 0
    assert "history" in capsys.readouterr().out


def refusal(capsys, *options):
    """The complaint of a command that did nothing else."""
    before = names_here()
    assert main(["history", "--to", "old.journal", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err[:-1].isprintable()
    assert Path("old.journal").read_bytes() == OLD
    assert names_here() == before
    return printed.err[len("error: ") : -1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--pattern", "(a"],
            "--pattern: is not a regular expression: missing ), unterminated subpattern at",
        ),
        (["--pattern", "a"], "--pattern: has 0 groups, expected one, or one named key: (?P<key>...)"),
        (["--pattern", "(a)(b)"], "--pattern: has 2 groups, expected one, or one named key"),
        (["--pattern", "(z+)"], "access.log: no line is one that --pattern matches; the first is "),
        (["--pattern", "(a)", "--column", "b"], "--pattern: cannot be combined with --column"),
        (["--format", "csv"], "--column: is missing, expected the key column of the table"),
        (["--format", "log", "--column", "a"], "--column: cannot be combined with --format log"),
        (["--column", "url"], 'access.log:1: no column "url", the nearest is '),
        (["--size", "0"], "--size: 0 is less than 1"),
        (["--half-life", "0.5"], "--half-life: 0.5 is not 1.0 or more"),
        (["--half-life", "nan"], "--half-life: nan is not 1.0 or more"),
        (["--from", "missing"], "missing: cannot be read: no such file or directory"),
        (["--from", "."], ".: cannot be read: is a directory"),
        (["--from", "a\0b"], "a\\x00b: cannot be read: embedded null byte"),
        (["--from", "empty"], "empty: is empty, expected a log"),
        (["--from", "blank"], "blank: is empty, expected a log"),
        (["--from", "cut.gz"], "cut.gz: the gzip data is cut off or damaged: "),
        (["--from", "bad.gz"], "bad.gz: the gzip data is cut off or damaged: "),
        (["--from", "latin"], 'latin: no line is UTF-8 text; the first is "caf\\\\xe9"'),
        (
            ["--from", "prose"],
            'prose: cannot tell where the keys are; the first line is "The quick brown fox"',
        ),
        (
            ["--from", "table.csv"],
            "table.csv: looks like a table with commas, and its first row is time, url",
        ),
        (["--from", "long"], "long: has a line of more than 1,048,576 bytes, expected text"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_writes_nothing(capsys, options, problem):
    packed = gzip.compress(ACCESS.encode())
    files = {
        "empty": b"",
        "blank": b"\n\r\n\n",
        "cut.gz": packed[:-9],
        "bad.gz": packed[:-6] + b"\0" + packed[-5:],
        "latin": b"caf\xe9\n",
        "prose": b"The quick brown fox\njumps over the lazy dog\n",
        "table.csv": b"time,url\n1,/a\n2,/b\n",
        "long": b"x" * 1_100_000,
    }
    for name, content in files.items():
        Path(name).write_bytes(content)
    assert refusal(capsys, "--from", "access.log", *options).startswith(problem)


@pytest.mark.parametrize("missing", ["--from", "--to"])
def test_a_command_without_input_or_output_is_refused(capsys, missing):
    options = {"--from": "access.log", "--to": "hot.journal"}
    del options[missing]
    assert main(["history", *[word for option in options.items() for word in option]]) == 2
    assert missing in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("access.log", "access.log: would overwrite access.log, which this run reads"),
        ("no/x", "no/x: the folder "),
        (".", ".: is a folder, expected a file"),
    ],
)
def test_a_journal_that_cannot_be_written_is_refused_before_anything_is_read(capsys, path, problem):
    assert main(["history", "--from", "access.log", "--to", path]) == 2
    assert capsys.readouterr().err.startswith(f"error: {problem}")
    assert Path("access.log").read_text() == ACCESS


def test_a_full_disk_is_a_failed_run_that_leaves_the_old_journal(capsys, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert main(["history", "--from", "access.log", "--to", "old.journal"]) == 1
    assert capsys.readouterr().err == "error: old.journal: cannot be written: no space left on device\n"
    assert Path("old.journal").read_bytes() == OLD


def with_standard_input(folder, **given):
    return subprocess.run(
        [*RUN, "--from", "-", "--to", "hot.journal"],
        **given,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_a_minus_is_standard_input(folder, kind):
    Path("access.log.gz").write_bytes(gzip.compress(ACCESS.encode()))
    with Path("access.log.gz").open("rb") as file:
        done = with_standard_input(folder, **({"input": file.read()} if kind == "pipe" else {"stdin": file}))
    assert (done.returncode, done.stderr) == (0, b"")
    assert (
        done.stdout == f"standard input: {LOG}: 6 lookups in 6 lines\nhot.journal written: 3 keys\n".encode()
    )
    assert hottest() == ["/a", "/b", "/c"]


def test_ctrl_c_ends_the_wait_for_a_silent_pipe_and_writes_nothing(folder):
    before = names_here()
    with started([*RUN, "--from", "-", "--to", "old.journal"], folder, stdin=subprocess.PIPE) as running:
        running.stdin.write("/a\n")
        running.stdin.flush()
        wait_until_read(running.stdin.fileno(), running)
        running.send_signal(signal.SIGINT)
        assert (
            running.wait(timeout=60) == 130
        )  # before the pipe is closed: its end would be the end of the log
        assert running.stdout.read() == ""
        assert running.stderr.read() == "error: interrupted, nothing was written\n"
    assert Path("old.journal").read_bytes() == OLD
    assert names_here() == before


def test_ctrl_c_ends_a_pattern_that_takes_for_ever(folder):
    command = [*RUN, "--from", "-", "--to", "old.journal", "--pattern", "(a+)+b"]
    with started(command, folder, stdin=subprocess.PIPE) as running:
        running.stdin.write(f"{'a' * 100}\n")
        running.stdin.flush()
        wait_until_read(running.stdin.fileno(), running)
        for _ in range(3):  # the first one may come before the search has begun
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.wait(timeout=5)
                break
        assert running.wait(timeout=60) == 130
        assert running.stderr.read() == "error: interrupted, nothing was written\n"
    assert Path("old.journal").read_bytes() == OLD


@pytest.mark.parametrize(
    ("key_type", "keys"),
    [
        ("str", ["7", "+8", "9a", "00000000-0000-0000-0000-000000000007", "007"]),
        ("int", [7, 8]),
        ("uuid", [uuid.UUID(int=7)]),
    ],
)
def test_keys_of_a_log_become_keys_of_the_type_that_is_said(capsys, key_type, keys):
    Path("ids.txt").write_text("7\n7\n7\n+8\n+8\n9a\n00000000-0000-0000-0000-000000000007\n007\n")
    run = ["history", "--format", "keys", "--from", "ids.txt", "--to", "hot.journal", "--key-type", key_type]

    assert main(run) == 0
    assert sorted(hottest(), key=str) == sorted(keys, key=str)
    assert {type(key) for key in hottest()} == {type(keys[0])}
    assert ("without a key" in capsys.readouterr().out) is (key_type != "str")


def test_a_log_without_a_key_of_the_type_that_is_said_is_refused(capsys):
    Path("ids.txt").write_text("a\nb\n")
    run = ["history", "--format", "keys", "--from", "ids.txt", "--to", "hot.journal", "--key-type", "int"]

    assert main(run) == 2
    assert "ids.txt: no line is a key that is a whole number; the first is" in capsys.readouterr().err


@pytest.mark.parametrize(("key_type", "size"), [("int", 3), ("str", 0)])
def test_a_journal_of_numbers_warms_a_cache_of_numbers_and_one_of_text_is_said(caplog, key_type, size):
    Path("ids.txt").write_text("7\n8\n7\n9\n7\n")
    run = ["history", "--format", "keys", "--from", "ids.txt", "--to", "hot.journal", "--quiet"]
    assert main([*run, "--key-type", key_type]) == 0

    async def start():
        async with BackfillCache(
            MappingSource({number: f"row {number}" for number in range(100)}),
            capacity=10,
            backfill=BackfillPolicy(selection="history"),
            journal=JournalFile("hot.journal"),
        ) as cache:
            with anyio.move_on_after(5.0):
                await cache.ready(coverage=0.9)
            return cache.stats.size

    assert anyio.run(start) == size
    told = "the source has none of the 3 hottest keys, such as '7'"
    assert sum(told in line for line in caplog.messages) == (size == 0)
