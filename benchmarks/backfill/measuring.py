"""Time one copy, from its first connection to its last reply, in a process of its own."""

from __future__ import annotations

import importlib
import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from benchmarks.backfill.usage import machine_seconds, peak_memory

if TYPE_CHECKING:
    from benchmarks.backfill.table import Place

Contender: TypeAlias = Literal["limit", "naive", "unguarded", "ours"]
"""The name of a module beside this one, which has ``async def copy(place: Place) -> int``."""

CONTENDERS: Final[tuple[Contender, ...]] = ("limit", "naive", "unguarded", "ours")


@dataclass(frozen=True, slots=True)
class Copying:
    """The duration of a copy, and its processor time in seconds, with that of the programs it ran.

    ``machine_seconds`` is what all processes of the machine used meanwhile.
    """

    rows: int
    seconds: float
    own_seconds: float
    programs_seconds: float
    peak_bytes: int | None
    machine_seconds: float | None = None


async def timed(contender: Contender, place: Place) -> Copying:
    """Copy the table like ``contender``; the start of Python is not counted."""
    copy = importlib.import_module(f"benchmarks.backfill.{contender}").copy
    machine, used, programs, began = machine_seconds(), time.process_time(), _programs(), time.perf_counter()
    rows = await copy(place)
    seconds = time.perf_counter() - began
    return Copying(
        rows,
        seconds,
        own_seconds=time.process_time() - used,
        programs_seconds=_programs() - programs,
        peak_bytes=peak_memory(),
        machine_seconds=None if machine is None else (machine_seconds() or 0.0) - machine,
    )


def _programs() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
