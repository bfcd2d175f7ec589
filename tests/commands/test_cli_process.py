"""The command line as a process: its standard output, a full disk, Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from async_backfill._commands.cli import main
from async_backfill._runner.log_lines import log_lines
from tests.command_line import OLD, ROOT, names_here, scenario, started, wait_until_read, work_in
from tests.commands.operating import job_file, products

RUN = [sys.executable, "-m", "async_backfill"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own that has an older summary in it."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


def run_into(stream, monkeypatch, *more: str) -> int:
    """The exit code of a run whose standard output is ``stream``."""
    monkeypatch.setattr(sys, "stdout", stream)
    return main(["--input", "in.json", "--output", "ä.json", *more])


@pytest.mark.parametrize("more", [[], ["--format", "json"], ["--help"]])
def test_a_terminal_that_knows_only_ascii_is_no_failure(capsys, monkeypatch, more):
    taken = io.BytesIO()
    assert run_into(io.TextIOWrapper(taken, encoding="ascii"), monkeypatch, *more) == 0
    assert "error" not in capsys.readouterr().err
    assert taken.getvalue()


@pytest.mark.parametrize("more", [[], ["--format", "json"]])
def test_without_standard_output_the_summary_is_written_all_the_same(capsys, monkeypatch, more):
    assert run_into(None, monkeypatch, *more) == 0
    assert "error" not in capsys.readouterr().err
    assert json.loads(Path("ä.json").read_text("utf-8"))["hits"] == 3


@pytest.mark.parametrize("more", [[], ["--format", "json"], ["--help"]])
def test_a_reader_who_has_seen_enough_is_no_failure(capsys, monkeypatch, more):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
        assert run_into(stream, monkeypatch, *more) == 0
    assert "error" not in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--format", "json"], ["--help"]])
def test_a_full_disk_behind_standard_output_is_a_complaint(capsys, monkeypatch, folder, more):
    full = 1 << 20
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with (folder / "printed").open("w", encoding="utf-8") as stream:
        stream.seek(full)
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, limits[1]))
        try:
            assert run_into(stream, monkeypatch, *more) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("error: standard output: cannot be written: File too large")


class Interrupted(io.StringIO):
    """Where Ctrl-C comes while something is printed, as into a pager."""

    def write(self, _):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--input", "in.json", "--output", "new.json"], "new.json written"),
        (
            ["--input", "in.json", "--output", "new.json", "--report", "new.html"],
            "new.json and new.html written",
        ),
        (["tune", "--input", "in.json", "--output", "new.json", "--jobs", "1"], "new.json written"),
        (["tune", "--input", "in.json", "--jobs", "1"], "nothing was written"),
        (["history", "--from", "keys", "--to", "hot.journal"], "hot.journal written"),
        (["jobs", "plan", "job.json"], "what was done before is kept"),
        (["--help"], "nothing was written"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_ctrl_c_while_the_result_is_printed_says_what_was_written(capsys, monkeypatch, words, left):
    pytest.importorskip("aiosqlite", reason="databases need the extra sql")
    products(10)
    job_file()
    Path("keys").write_text("a\nb\n", "utf-8")
    monkeypatch.setattr(sys, "stdout", Interrupted())
    assert main(words) == 130
    assert capsys.readouterr().err == f"error: interrupted, {left}\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--input", "missing.json", "--output", "new.json"], 2),
        (["jobs", "status", "1"], 2),
        (["--input", "in.json", "--output", "new.json", "--format", "json"], 0),
    ],
)
def test_a_standard_error_that_takes_nothing_changes_no_exit_code(monkeypatch, words, code):
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", buffering=1, encoding="utf-8")  # noqa: PTH123, SIM115 - closing fails, too
    monkeypatch.setattr(sys, "stderr", stream)
    assert main(words) == code
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_a_warning_that_standard_error_does_not_take_ends_nothing(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", buffering=1, encoding="utf-8")  # noqa: PTH123, SIM115 - closing fails, too
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with log_lines(str):
        logging.getLogger("async_backfill").warning("the far tier failed")
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_the_module_runs_as_the_readme_says(folder):
    done = subprocess.run(
        [*RUN, "--input", ROOT / "data" / "sample_input.txt", "--output", "out.json"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.endswith("\nout.json written\n")
    assert done.stderr == ""
    assert Path("out.json").read_bytes() == (ROOT / "data" / "output_summary.json").read_bytes()


def test_what_becomes_of_backfills_is_in_the_summary_and_no_warning(folder):
    scenario = {
        "source": dict.fromkeys("stuvw", 1),
        "lookups": list("abcdefgh"),
        "miss_threshold": 0.4,
        "max_backfills": 0,
    }
    Path("denied.json").write_text(json.dumps(scenario), encoding="utf-8")
    done = subprocess.run(
        [*RUN, "--input", "denied.json", "--output", "out.json"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert json.loads(Path("out.json").read_bytes())["backfills_denied"] > 0
    assert done.stderr == ""


def test_a_full_disk_is_a_failed_run_that_leaves_the_old_summary(folder):
    def fill_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [*RUN, "--input", "in.json", "--output", "old.json"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=fill_disk,
        check=False,
    )
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "error: old.json: cannot be written: file too large\n")
    assert Path("old.json").read_bytes() == OLD
    assert names_here() == ["in.json", "old.json"]


@pytest.mark.parametrize("more", [[], ["--virtual-time"]])
def test_a_journal_on_a_full_disk_is_a_failed_run_and_one_line(folder, more):
    def fill_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    keys = [f"key_{number:080}" for number in range(200)]
    held = scenario(source=dict.fromkeys(keys, 1), lookups=keys, selection="history")
    Path("in.json").write_text(held, "utf-8")
    done = subprocess.run(
        [
            *RUN,
            "--input",
            "in.json",
            "--output",
            "old.json",
            "--journal",
            "hot.journal",
            "--results-limit",
            "0",
            *more,
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=fill_disk,
        check=False,
    )
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "error: hot.journal: cannot be written: file too large\n")
    assert Path("old.json").read_bytes() == OLD
    assert names_here() == ["in.json", "old.json"]


# Each lookup of the second one evicts and loads 500 keys, which takes time of this machine.
SLOW = {"source": {"kind": "simulated", "keys": 10, "latency": 0.05}}
BUSY = {
    "source": {"kind": "simulated", "keys": 1000, "latency": 0.05},
    "capacity": 600,
    "backfill_batch": 500,
    "backfill_evicts": True,
}


@pytest.mark.parametrize(
    ("settings", "options"), [(SLOW, []), (BUSY, ["--virtual-time"])], ids=["real time", "virtual time"]
)
def test_ctrl_c_ends_a_long_replay_and_writes_nothing(folder, settings, options):
    """The keys come through a pipe: once they have been taken the run is under way."""
    Path("in.json").write_text(scenario(**settings, lookups={"file": "keys"}), "utf-8")
    os.mkfifo("keys")
    pipe = os.open("keys", os.O_RDWR)
    os.write(pipe, b"".join(b"absent_%d\n" % number for number in range(4000)))
    with started([*RUN, "--input", "in.json", "--output", "old.json", *options], folder) as running:
        try:
            wait_until_read(pipe, running)
        finally:
            os.close(pipe)
        time.sleep(0.2)  # any moment will do; this one is most likely in the middle of the replay
        running.send_signal(signal.SIGINT)
        printed, complaint = running.communicate(timeout=60)
    assert running.returncode == 130
    assert (printed, complaint) == ("", "error: interrupted, nothing was written\n")
    assert Path("old.json").read_bytes() == OLD
    assert names_here() == ["in.json", "keys", "old.json"]


@pytest.mark.parametrize(
    ("how", "place"),
    [
        (signal.SIGINT, "scenario"),
        (signal.SIGTERM, "table"),
        (signal.SIGINT, "lookups"),
        (signal.SIGTERM, "log"),
    ],
)
def test_a_pipe_that_nobody_writes_to_is_left_at_once(folder, how, place):
    os.mkfifo(folder / "pipe")
    source = {"kind": "table", "file": "pipe", "key": "id"} if place == "table" else {"a": 1}
    lookups = {"file": "pipe"} if place == "lookups" else ["a"]
    Path("in.json").write_text(scenario(source=source, lookups=lookups), "utf-8")
    replay = ["--input", "pipe" if place == "scenario" else "in.json", "--output", "old.json"]
    options = ["history", "--from", "pipe", "--to", "old.json"] if place == "log" else replay
    before = names_here()
    with started([*RUN, *options], folder) as running:
        writer = None
        while writer is None:  # it can be opened for writing once somebody has it open for reading
            assert running.poll() is None
            time.sleep(0.01)
            with contextlib.suppress(OSError):
                writer = os.open("pipe", os.O_WRONLY | os.O_NONBLOCK)
        running.send_signal(how)
        printed, complaint = running.communicate()
        os.close(writer)
    assert running.returncode == (130 if how == signal.SIGINT else 143)
    assert (printed, complaint.count("\n")) == ("", 1)
    assert Path("old.json").read_bytes() == OLD
    assert names_here() == before
