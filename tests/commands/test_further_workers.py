"""Further workers of a job: started again when they die, ended with who started them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import anyio
import pytest
from anyio import Event, create_task_group, fail_after, sleep

from async_backfill._commands.jobs import further_workers, run
from async_backfill._commands.jobs.further_workers import FurtherWorkers
from async_backfill._commands.jobs.options import Options
from async_backfill.jobs import Jobs
from tests.command_line import started
from tests.commands.operating import change

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

# Writes its number at the end of a file, then does what it is told.
WORKER = r"""
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
with open("begun", "a") as file:
    file.write(f"{os.getpid()}\n")
"""


def begun():
    return [int(line) for line in Path("begun").read_text().split()] if Path("begun").exists() else []


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(further_workers, "_PAUSE", 0.01)


def keep(does, then):
    """Keep one worker that ``does`` something, until ``then(workers, stop)`` has returned."""

    async def main():
        workers = FurtherWorkers([sys.executable, "-S", "-c", WORKER + does], os.environ)
        stop = Event()
        with fail_after(60):
            async with create_task_group() as tasks:
                tasks.start_soon(workers.pass_on, stop)
                tasks.start_soon(workers.keep, 1)
                await then(workers, stop)
                await workers.end(at_once=False)
                tasks.cancel_scope.cancel()
        return workers

    return anyio.run(main)


async def until(found):
    while not found():  # noqa: ASYNC110 - of another process
        await sleep(0.01)


async def killed(times, workers, stop):  # noqa: ARG001 - as all
    """Kill so many workers, one after the other."""
    for number in range(times):
        await until(lambda: len(begun()) > number)  # noqa: B023 - called at once
        os.kill(begun()[-1], signal.SIGKILL)


def test_a_worker_that_dies_is_started_again_and_that_is_said(capsys):
    async def then(workers, stop):
        await killed(2, workers, stop)
        await until(lambda: len(begun()) == 3)

    assert not keep("time.sleep(60)", then).gave_up
    line = "warning: worker 1 has ended: killed by SIGKILL; it is started again\n"
    assert capsys.readouterr().err == 2 * line


def test_a_worker_that_always_dies_is_started_five_times_and_then_given_up(capsys):
    async def then(workers, _):
        await until(lambda: workers.gave_up)

    assert keep("sys.stderr.write('error: no store\\nhidden\\n'); sys.exit(2)", then).gave_up
    assert len(begun()) == 6
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == ["error: no store", "warning: worker 1 has ended: exit code 2; it is started again"]
    assert told[-1] == (
        "error: worker 1 has ended: exit code 2; it was started 5 times within 60 s, and is not again"
    )


def test_a_worker_that_cannot_be_started_is_tried_again_and_ends_no_other_one(capsys):
    one, other = (
        FurtherWorkers([program, "-S", "-c", f"{WORKER}time.sleep(60)"], os.environ)
        for program in (sys.executable, str(Path("not there").absolute()))
    )

    async def main():
        with fail_after(60):
            async with create_task_group() as tasks:
                tasks.start_soon(one.keep, 1)
                await until(begun)
                await other.keep(2)
                (pid,) = begun()
                os.kill(pid, 0)
                await one.end(at_once=False)
        return other.gave_up

    assert anyio.run(main)
    how = "worker 2 could not be started: no such file or directory"
    first, *_, last = told = capsys.readouterr().err.splitlines()
    assert (first, len(told)) == (f"warning: {how}; it is started again", 6)
    assert last == f"error: {how}; it was started 5 times within 60 s, and is not again"


@pytest.mark.parametrize("code", [0, 1, 4])
def test_a_worker_whose_job_is_over_or_paused_is_not_started_again(code, capsys):
    async def then(*_):
        await until(begun)
        await sleep(0.3)

    keep(f"sys.exit({code})", then)
    assert (len(begun()), capsys.readouterr().err) == (1, "")


def test_the_first_signal_is_passed_on_at_once_and_only_once(capsys):
    async def then(_, stop):
        await until(Path("ready").exists)
        stop.set()
        await until(Path("asked").exists)

    counting = "signal.signal(signal.SIGTERM, lambda *_: open('asked', 'a').write('x'))"
    keep(f"{counting}\nopen('ready', 'w').close()\ntime.sleep(0.3)\ntime.sleep(0.3)\nsys.exit(3)", then)
    assert Path("asked").read_text() == "x"
    assert (len(begun()), capsys.readouterr().err) == (1, "")


def test_a_run_whose_worker_was_given_up_does_not_end_with_0(jobs, folder, monkeypatch):  # noqa: ARG001
    Path("dies").write_text("#!/bin/sh\nexit 3\n")
    Path("dies").chmod(0o755)
    job = jobs.approved(rate=300)
    monkeypatch.setattr(sys, "executable", str(Path("dies").absolute()))
    monkeypatch.setattr(further_workers, "_MOST_RESTARTS", 1)

    code, out, err = jobs("run", job, "--workers", "2")

    assert (code, out.startswith("job 1 products: done")) == (3, True)
    assert "error: worker 1 has ended: exit code 3; it was started 1 times within 60 s" in err


def waited(number, monkeypatch, then):
    """Let a further worker look at a job, do ``then`` once it waits, and return its exit code."""
    looks = Event()

    async def look(seconds):
        if seconds == run._LOOK:
            looks.set()
        await sleep(0.01)

    async def main():
        code = None

        async def further():
            nonlocal code
            options = Options(state="jobs.sqlite")
            code = (await run.work(int(number), wait=True, until_input_ends=True, options=options)).code
            looks.set()

        with fail_after(60):
            async with create_task_group() as tasks:
                tasks.start_soon(further)
                await looks.wait()
                async with Jobs("jobs.sqlite") as jobs:
                    await then(jobs)
        return code

    monkeypatch.setattr(run, "end_with_input", lambda: None)
    monkeypatch.setattr(run, "sleep", look)
    return anyio.run(main)


@pytest.mark.parametrize("status", ["failed", "done_with_gaps"])
def test_a_further_worker_waits_for_a_job_that_is_started_again(jobs, folder, monkeypatch, status):  # noqa: ARG001
    job = jobs.approved()
    change("jobs.sqlite", "UPDATE job SET status = ?", status)

    async def start(jobs):
        await jobs.run(int(job), by="bob", from_start=True)

    assert waited(job, monkeypatch, start) in {0, 4}  # 4: the other one is verifying it


@pytest.mark.parametrize(("status", "code"), [("done", 0), ("cancelled", 3)])
def test_a_further_worker_does_not_wait_for_a_job_that_is_over(jobs, folder, monkeypatch, status, code):  # noqa: ARG001
    job = jobs.approved()
    change("jobs.sqlite", "UPDATE job SET status = ?", status)

    async def nothing(_):
        return

    assert waited(job, monkeypatch, nothing) == code


def test_workers_end_with_the_process_that_started_them(jobs, folder):
    job = jobs.approved(rate=4, batch=1, lanes=1)
    run = [sys.executable, "-m", "async_backfill", "jobs", "run", job, "--workers", "2"]
    with started(run, folder) as running:
        query = "SELECT DISTINCT owner FROM shard WHERE status = 'running'"
        while len(owners := change("jobs.sqlite", query)) < 2:
            assert running.poll() is None
            time.sleep(0.02)
        (other,) = {int(owner.split(":")[-2]) for (owner,) in owners} - {running.pid}
        running.kill()
        held = f"SELECT count(*) FROM shard WHERE owner LIKE '%:{other}:%'"  # noqa: S608 - a number
        end = time.monotonic() + 60.0
        while change("jobs.sqlite", held) != [(0,)]:
            assert time.monotonic() < end
            time.sleep(0.02)
