"""Run contenders in separate processes, two at a time, so that they do not disturb each other."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.peers.peer import Peer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_apart(
    function: Callable[[*Ts], T], jobs: Mapping[str, tuple[*Ts]]
) -> tuple[dict[str, T], dict[str, str]]:
    """Return the results of ``function`` for each job, and the errors of the failed jobs."""
    found: dict[str, T] = {}
    failed: dict[str, str] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, max_tasks_per_child=1) as workers:
        pending = {title: workers.submit(function, *arguments) for title, arguments in jobs.items()}
        for title, each in pending.items():
            try:
                found[title] = each.result()
            except Exception as error:  # noqa: BLE001 - a peer that fails is a result
                failed[title] = f"failed: {type(error).__name__}: {error}"
    return found, failed


def adapter_of(peer: type[Peer]) -> str:
    """Return the name by which another process imports ``peer``."""
    return f"{peer.__module__.rpartition('.')[2]}:{peer.__name__}"
