"""``python -m tests.commands.dask_cluster``: a scheduler and two workers, until its input ends."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import contextmanager

from tests.command_line import ROOT


@contextmanager
def started_cluster(**environment):
    """Start the program, with more in its environment; ``address`` is that of its scheduler."""
    command = [sys.executable, "-m", "tests.commands.dask_cluster"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, text=True, env=os.environ | environment, **pipes) as running:
        try:
            running.address = running.stdout.readline().strip()
            yield running
        finally:
            running.kill()


if __name__ == "__main__":
    from distributed import LocalCluster

    quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster:
        print(cluster.scheduler_address, flush=True)  # noqa: T201 - who starts it waits for that
        sys.stdin.read()
