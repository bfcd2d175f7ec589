"""Measure each size in a process of its own, with nothing left of the one before."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")
_MEMORY: Final = Path("/proc/meminfo")


def in_a_process(
    measure: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **settings: P.kwargs
) -> T | None:
    """Return the result of ``measure`` in a new process; ``None`` when the process dies.

    That is what happens to a process that takes more memory than there is.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as one:
        try:
            return one.submit(anyio.run, partial(measure, *arguments, **settings)).result()
        except (BrokenProcessPool, MemoryError):
            return None


def free_memory() -> int | None:
    """Return the bytes of memory available to a process; ``None`` when the system does not tell."""
    if not _MEMORY.exists():
        return None
    fields = dict(line.split(":") for line in _MEMORY.read_text(encoding="ascii").splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
