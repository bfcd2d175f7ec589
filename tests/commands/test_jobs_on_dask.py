"""Jobs whose shards are read by workers of Dask: real processes, which are killed."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time

import anyio
import pytest

from async_backfill.jobs import JobError, Jobs
from async_backfill.jobs._shard_task import NoAnswerError, read_shard
from tests.command_line import started
from tests.commands.dask_cluster import started_cluster
from tests.commands.operating import change
from tests.servers.ports import free_port

dask = pytest.importorskip("dask", reason="distributed is not installed")
pytest.importorskip("distributed", reason="distributed is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

OWNERS = "SELECT DISTINCT owner FROM shard WHERE status = 'running'"


@pytest.fixture(scope="module")
def cluster():
    """A program with a scheduler and two workers elsewhere; ``address`` is that of the scheduler."""
    with started_cluster() as running:
        yield running


def workers():
    """The processes that read shards now."""
    return {int(owner.split(":")[-2]) for (owner,) in change("jobs.sqlite", OWNERS)}


def wait_for(found):
    end = time.monotonic() + 120.0
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def end_leases_of(process):
    """Let the time pass after which others take what a process had that was killed."""
    ended = f"UPDATE shard SET leased_until = 0.0 WHERE owner LIKE '%:{process}:%'"  # noqa: S608 - a number
    change("jobs.sqlite", ended)


async def unlimited():
    async with Jobs("jobs.sqlite") as jobs:
        await jobs.set(1, by="bob", rate="none")


def meanwhile(act):
    """Run ``act`` in a thread."""
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def all_right(jobs, job):
    return "300 rows compared, all: 0 differences" in jobs.said("verify", job, "--all")


@pytest.mark.usefixtures("folder")
def test_kill_9_of_a_dask_worker_costs_a_lease_and_needs_no_person(jobs, cluster):
    job = jobs.approved(rate=10, batch=10, shards=6)

    def kill():
        wait_for(lambda: len(workers()) == 2)
        victim = min(workers())
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: workers() - {victim})
        end_leases_of(victim)
        anyio.run(unlimited)

    killing = meanwhile(kill)
    code, out, _ = jobs("run", job, "--dask", cluster.address)
    killing.join()
    assert (code, "300 kept" in out) == (0, True)
    assert all_right(jobs, job)


@pytest.mark.usefixtures("folder")
def test_ctrl_c_pauses_a_job_on_dask(jobs, cluster):
    job = jobs.approved(rate=10, batch=10, shards=6)

    def stop():
        wait_for(workers)
        os.kill(os.getpid(), signal.SIGINT)

    stopping = meanwhile(stop)
    code, out, err = jobs("run", job, "--dask", cluster.address)
    stopping.join()
    assert (code, out.startswith("job 1 products: paused")) == (4, True)
    assert "the job pauses then (exit 4)" in err
    jobs.said("set", job, "rate=none")
    assert "300 kept" in jobs.said("run", job)


@pytest.mark.usefixtures("folder")
def test_kill_9_of_the_scheduler_leaves_a_job_that_any_worker_ends(jobs, cluster):
    job = jobs.approved(rate=10, batch=10, shards=6)
    processes = set()

    def kill():
        wait_for(workers)
        processes.update(workers())
        cluster.kill()

    killing = meanwhile(kill)
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        code, _, err = jobs("run", job, "--dask", cluster.address)
    killing.join()
    assert (code, "error: the scheduler of Dask is gone: run the job again" in err) == (3, True)
    for process in processes | workers():
        end_leases_of(process)
    jobs.said("set", job, "rate=none")
    assert "300 kept" in jobs.said("run", job)
    assert all_right(jobs, job)


def test_workers_of_a_cluster_of_ones_own_end_with_a_run_that_is_killed(jobs, folder):
    job = jobs.approved(rate=20, batch=10, shards=6)
    run = [sys.executable, "-m", "async_backfill", "jobs", "run", job, "--dask", "--workers", "2"]
    with started(run, folder) as running:
        wait_for(lambda: len(workers()) == 2)
        processes = workers()
        running.kill()
    wait_for(lambda: not any(is_there(process) for process in processes))
    for process in processes:
        end_leases_of(process)
    jobs.said("set", job, "rate=none")
    assert "300 kept" in jobs.said("run", job)
    assert all_right(jobs, job)


def is_there(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_state_with_a_password_is_not_told_to_other_machines():
    driving = pytest.importorskip("async_backfill.jobs._dask")
    for state in ("postgresql://jobs:${PASSWORD}@db/shop", "postgresql://jobs@db/shop", "/var/jobs.sqlite"):
        assert driving._travelling(state) == state
    for state in ("postgresql://jobs:hidden@db/shop", "postgresql://db/shop?user=jobs&password=hidden"):
        assert driving._travelling(state) is None


@pytest.mark.usefixtures("folder")
def test_a_task_whose_state_is_another_reads_nothing(jobs, monkeypatch):
    job, plan = jobs.planned()
    with pytest.raises(JobError, match="the environment of the worker has no ASYNC_BACKFILL_STATE"):
        read_shard(None, int(job), plan, 0)
    monkeypatch.setenv("ASYNC_BACKFILL_STATE", "jobs.sqlite")
    with pytest.raises(JobError, match="the state of the worker has another job 1"):
        read_shard(None, int(job), "of another plan", 0)


def test_a_task_whose_state_does_not_answer_may_be_done_later(tmp_path):
    away = f"postgresql://jobs@127.0.0.1:{free_port()}/shop"
    with pytest.raises(NoAnswerError, match="no connection to the server") as told:
        read_shard(away, 1, "hash", 0)
    assert type(pickle.loads(pickle.dumps(told.value))) is NoAnswerError  # noqa: S301 - as Dask does
    with pytest.raises(JobError, match="there is no such state") as told:
        read_shard(str(tmp_path / "none.sqlite"), 1, "hash", 0)
    assert type(told.value) is JobError


@pytest.mark.usefixtures("folder")
def test_a_scheduler_that_cannot_be_reached_is_one_line_and_pauses_the_job(jobs):
    job = jobs.approved()
    assert "Dask: ValueError: missing port number" in jobs.refused("run", job, "--dask", "nowhere", code=3)
    assert "its shards could not be handed out: Dask" in jobs("status", job)[1]


@pytest.mark.usefixtures("folder")
def test_an_address_of_dask_and_a_number_of_workers_are_refused(jobs):
    code, _, err = jobs("run", jobs.approved(), "--dask", "tcp://127.0.0.1:1", "--workers", "2")
    assert code == 2
    assert err == "error: dask: takes one address, whose workers are those of its own cluster\n"
