"""A job that runs from the command line: what is shown meanwhile, and how signals stop it."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest

from async_backfill._commands.cli import main
from async_backfill._commands.jobs import view
from async_backfill._commands.jobs.view import View
from async_backfill.jobs import JobCounts, Jobs, Throttled, WorkerReport
from tests.command_line import ROOT, started
from tests.commands.operating import change

RUN = [sys.executable, "-m", "async_backfill", "jobs", "run", "1"]

pytestmark = pytest.mark.usefixtures("folder")


def wait_until(running, query, found):
    """Wait until a query of the state finds something."""
    while change("jobs.sqlite", query) != found:
        assert running.poll() is None
        time.sleep(0.02)


def test_sigterm_pauses_a_job_after_its_page_and_a_later_run_goes_on(jobs, folder):
    job = jobs.approved(rate=10, batch=10, lanes=1)
    with started(RUN, folder) as running:
        wait_until(running, "SELECT sum(pages) > 0 FROM shard", [(1,)])
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=120)
    assert running.returncode == 4
    assert "stopping after the pages that have begun: the job pauses then (exit 4)" in err
    assert "Traceback" not in err
    assert "job 1 products: paused" in out
    assert out.endswith("go on with: python -m async_backfill jobs run 1\n")
    status = jobs.data("status", job)
    assert status["counts"]["read"] == 10 * status["pages"] < 300
    jobs.said("set", job, "rate=none")
    jobs.said("run", job)
    after = jobs.data("status", job)
    assert (after["counts"]["kept"], after["repeated_pages"]) == (300, 0)


@pytest.mark.parametrize("words", [[], ["1"]])
def test_sigterm_of_a_worker_pauses_nothing_and_the_next_worker_goes_on(jobs, folder, words):
    job = jobs.approved(rate=10, batch=10, lanes=1)
    jobs.said("resume", job)
    with started([*RUN[:-2], "work", *words], folder) as running:
        wait_until(running, "SELECT sum(pages) > 0 FROM shard", [(1,)])
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=120)
    assert running.returncode == 4
    assert "other workers go on, now or later (exit 4)" in err
    assert jobs.data("status", job)["status"] == "interrupted"
    jobs.said("set", job, "rate=none")
    jobs.said("work", *words)
    after = jobs.data("status", job)
    assert (after["status"], after["counts"]["kept"], after["repeated_pages"]) == ("done", 300, 0)


def test_further_workers_share_the_shards_and_one_signal_pauses_all_of_them(jobs, folder):
    job = jobs.approved(rate=4, batch=1, lanes=1)
    with started([*RUN, "--workers", "2"], folder) as running:
        wait_until(running, "SELECT count(DISTINCT owner) FROM shard WHERE status = 'running'", [(2,)])
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    assert running.returncode == 4
    assert "error" not in err
    assert "job 1 products: paused" in out
    assert change("jobs.sqlite", "SELECT count(*) FROM shard WHERE status = 'running'") == [(0,)]
    jobs.said("set", job, "rate=none")
    assert "300 kept" in jobs.said("run", job, "--workers", "2")


def test_a_run_without_workers_is_refused(jobs):
    job = jobs.approved()
    code, _, err = jobs("run", job, "--workers", "0")
    assert (code, err) == (2, "error: workers: must be 1 to 100, not 0\n")


def test_a_second_ctrl_c_ends_a_run_at_once_and_loses_nothing(jobs, folder):
    job = jobs.approved()
    jobs.said("dry-run", job)  # makes the store
    with closing(sqlite3.connect("cache.db")) as other, started(RUN, folder) as running:
        other.execute("BEGIN IMMEDIATE")
        wait_until(running, "SELECT status FROM job", [("running",)])
        running.send_signal(signal.SIGINT)
        assert running.stderr.readline().startswith("stopping after the pages that have begun")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert "job 1 products: interrupted" in out
    assert "300 kept" in jobs.said("run", job)


@pytest.fixture
def waiting(jobs):
    """The report of a job with one worker, which waits because of its rate."""

    async def status(job):
        async with Jobs("jobs.sqlite") as opened:
            return await opened.status(job)

    report = anyio.run(status, int(jobs.approved()))
    return replace(
        report,
        status="running",
        counts=JobCounts(read=50, kept=50),
        rows_per_second=1000.0,
        eta_seconds=0.25,
        throttled=Throttled(reason="rate", since=0.0, value="a page in 0.05 s", limit="1000 rows a second"),
        workers=[WorkerReport(owner="w", shards=1, lease_seconds=30.0)],
    )


def test_without_a_terminal_a_run_says_now_and_then_how_it_gets_on(jobs, monkeypatch):
    monkeypatch.setattr(view, "_PLAIN", 0.01)
    code, out, err = jobs("run", jobs.approved(rate=1000, batch=50, lanes=1))
    lines = err.splitlines()
    assert code == 0
    assert out.startswith("job 1 products: done")
    assert all(line.startswith("job 1 products ") and "of 300" in line for line in lines)
    assert all(line != other for line, other in pairwise(lines))


def test_a_line_says_how_fast_a_job_is_and_why_it_waits_and_is_not_repeated(waiting):
    stream = io.StringIO()
    with View(stream) as shown:
        shown.show([waiting])
        shown.show([waiting])
    said = "job 1 products running: 50 of 300 (17%) rows, 1,000 rows/s, 0:00:00 left, waits since "
    (line,) = stream.getvalue().splitlines()
    assert line.startswith(said)
    assert line.endswith("rate: a page in 0.05 s (limit: 1000 rows a second)")


def test_on_a_terminal_a_job_has_a_bar_its_speed_and_why_it_waits(waiting, monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with View(terminal) as shown:
        shown.show([waiting])
    for part in ("1 products", "━", "of 300", "rows/s", "left", "shards 0 of 3", "workers 1", "waits since"):
        assert part in terminal.getvalue()


def test_a_job_goes_on_when_nobody_reads_what_it_shows(jobs, monkeypatch):
    monkeypatch.setattr(view, "_PLAIN", 0.01)
    job = jobs.approved(rate=1000, batch=50, lanes=1)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as gone:
        monkeypatch.setattr(sys, "stderr", gone)
        assert main(["jobs", "run", job]) == 0


def test_a_verification_at_the_end_of_a_run_pauses_as_well(jobs):
    job = jobs.approved(rate=100)

    def end_it():
        while not change("jobs.sqlite", "SELECT 1 FROM job WHERE status = 'verifying'"):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    other = threading.Thread(target=end_it)
    other.start()
    code, out, err = jobs("run", job)
    other.join()
    assert (code, err.count("stopping after the pages")) == (4, 1)
    assert "job 1 products: paused" in out
    jobs.said("set", job, "rate=none")
    assert "300 rows, a sample: 0 differences" in jobs.said("run", job)


def test_who_watches_a_job_is_told_when_it_is_over(jobs, monkeypatch, capsys):
    monkeypatch.setattr(view, "_PLAIN", 0.05)
    job = jobs.approved(rate=100, batch=50)
    worker = threading.Thread(target=main, args=(["jobs", "run", job],))
    worker.start()
    code = main(["jobs", "status", job, "--watch"])
    worker.join()
    printed = capsys.readouterr()
    assert code == 0
    assert printed.out.count("job 1 products: done") == 2
    assert "job 1 products running: " in printed.err


def test_a_worker_waits_until_its_job_runs(jobs):
    job = jobs.approved()
    worker = threading.Thread(target=main, args=(["jobs", "work", job, "--wait"],))
    worker.start()
    assert jobs("resume", job)[0] == 0
    worker.join(timeout=120)
    assert jobs.data("status", job)["status"] == "done"
    jobs.said("work", job, "--wait")  # there is nothing to wait for


def test_other_commands_do_not_import_the_library_of_jobs():
    program = (
        "import sys; from async_backfill._commands.cli import main; main(['jobs', '--help']);"
        " sys.exit(' '.join(name for name in sys.modules if name.startswith('async_backfill.jobs')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == ""
