"""``python -m tests.commands.dask_cluster``: a scheduler and two workers, until its input ends."""

from __future__ import annotations

import logging
import sys

if __name__ == "__main__":
    from distributed import LocalCluster

    quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster:
        print(cluster.scheduler_address, flush=True)  # noqa: T201 - who starts it waits for that
        sys.stdin.read()
