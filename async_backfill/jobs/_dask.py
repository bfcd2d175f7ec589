"""A job on Dask: with workers that are there, or with a cluster of its own."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, current_time

from async_backfill._common.error_text import error_line
from async_backfill._common.extras import needed_by
from async_backfill._jobs._errors import JobError
from async_backfill._jobs._state.naming import STATE_VARIABLE, is_of_server, shown
from async_backfill.jobs._dask_driver import UNDER_WAY, Driver, keep_shown

with needed_by("jobs run --dask", "dask", "distributed", "dask", "cryptography"):
    from distributed import Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio import Event

    from async_backfill.jobs._jobs import Jobs

_CLOSING: Final = 15.0


async def run_on_dask(
    jobs: Jobs,
    job_id: int,
    /,
    *,
    by: str,
    state: str,
    address: str | None,
    workers: int = 1,
    from_start: bool = False,
    stop: Event,
) -> None:
    """Start a job, have its shards read by the workers of Dask, and verify it in this process.

    :param state: the name of the state of ``jobs``. One with a password goes nowhere: the workers find it in
        their environment.
    :param address: of the scheduler; ``None`` for a cluster of so many ``workers`` on this machine.
    :param stop: when it is set the job is paused.
    :raises JobError: when the scheduler is lost, or a shard cannot be read; the job is paused then.
    """
    job = await jobs.start(job_id, by=by, from_start=from_start)
    state = _named(state)
    name = None if address is None else _travelling(state)
    try:
        await keep_shown(jobs, job_id)
        async with _cluster(address, workers, job.settings.lanes, state) as client:
            patience = job.plan.spec.throttle.patience
            driver = Driver(jobs, client, (name, job_id, job.plan_hash), by=by, patience=patience)
            await driver.drive(stop)
    except Exception as error:
        with suppress(JobError):
            await jobs.pause(job_id, by=by, reason=f"its shards could not be handed out: {error}")
        raise
    if (await jobs.status(job_id)).status in {*UNDER_WAY, "verifying"}:
        await jobs.work(job_id, stop=stop, pauses=True)


def _named(state: str) -> str:
    """Return a name that means the same in another folder."""
    return state if is_of_server(state) else os.path.abspath(state)  # noqa: PTH100 - links stay links


def _travelling(state: str) -> str | None:
    """Return ``state`` unless a password is in it."""
    return state if shown(state) == state else None


@asynccontextmanager
async def _cluster(address: str | None, workers: int, lanes: int, state: str) -> AsyncIterator[Any]:
    """Connect to a scheduler, or start one with workers of its own; they are ended at the end."""
    cluster = client = None
    try:
        try:
            if address is None:
                cluster = await LocalCluster(
                    asynchronous=True,
                    dashboard_address="127.0.0.1:0",  # a fixed port is that of one cluster only
                    env={STATE_VARIABLE: state},
                    n_workers=workers,
                    preload=["async_backfill.jobs._shard_task"],
                    scheduler_kwargs={"dashboard": False},
                    security=True,  # or any user of this machine could have it run what he likes
                    silence_logs=logging.CRITICAL,  # what matters is in the state; this has tracebacks
                    threads_per_worker=lanes,
                )
            client = Client(address if cluster is None else cluster, asynchronous=True)
            await client
        except Exception as error:
            raise JobError(f"Dask: {error_line(error)}") from error
        yield client
    finally:
        with CancelScope(deadline=current_time() + _CLOSING, shield=True):
            if client is not None:
                await client.close()
            if cluster is not None:
                await cluster.close()
