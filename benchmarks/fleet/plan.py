"""What is simulated: the sizes of the fleet, its traffic, and what happens to it when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the course: its name, and for how many virtual seconds it lasts."""

    name: str
    seconds: float


PHASES: Final = (
    Phase(name="cold start", seconds=10.0),
    Phase(name="steady", seconds=40.0),
    Phase(name="deploy", seconds=30.0),
    Phase(name="far tier down", seconds=10.0),
    Phase(name="far tier back", seconds=20.0),
    Phase(name="far tier flushed", seconds=20.0),
)
"""In this order. A deploy restarts all processes, a tenth at a time, with empty memories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One experiment.

    ``sizes``
        numbers of processes; each size is a run of its own.
    ``lookups``
        lookups a second of one process: the traffic grows with the fleet.
    ``writes``
        share of the requests that put a new value.
    ``keys``
        keys of the table; the key of rank r is asked for in proportion to 1/r^0.99.
    ``capacity``
        keys in the memory of a process.
    ``ttl``
        seconds for which a value is good, in memory and in the far tier.
    ``permits``
        backfills that the whole fleet may start before a person must approve more.
    ``hop``
        seconds of the way to the far tier, and of the way back.
    ``call``
        seconds of a call of the source.
    """

    sizes: tuple[int, ...]
    lookups: float = 2.0
    writes: float = 0.005
    keys: int = 1_000
    capacity: int = 200
    ttl: float = 30.0
    permits: int = 20
    hop: float = 0.0005
    call: float = 0.020


FULL_RUN: Final = Plan(sizes=(1, 10, 100, 1000))
QUICK_RUN: Final = Plan(sizes=(1, 4), keys=200, capacity=50)
