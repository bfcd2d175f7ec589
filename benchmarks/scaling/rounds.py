"""Time two ways of the same work in turns, so that a busy machine slows both down."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a figure, and the middle half."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """The cost of one operation at one size in nanoseconds, beside the floor of the same rounds."""

    what: str
    who: str
    size: int
    cost: Spread
    floor: Spread
    ratio: Spread


async def compare(
    measured: Callable[[], Awaitable[float]], floor: Callable[[], Awaitable[float]], rounds: int
) -> tuple[Spread, Spread, Spread]:
    """Return the nanoseconds of ``measured`` and of ``floor``, and the ratio within a round.

    Each goes first in every other round; the first round of all only warms up.
    """
    costs: list[float] = []
    floors: list[float] = []
    for number in range(rounds + 1):
        if number % 2:
            costs.append(await measured())
            floors.append(await floor())
        else:
            floors.append(await floor())
            costs.append(await measured())
    ratios = [cost / base for cost, base in zip(costs[1:], floors[1:], strict=True)]
    return spread(costs[1:]), spread(floors[1:]), spread(ratios)


def spread(figures: Sequence[float]) -> Spread:
    """Return the median and the quartiles of two ``figures`` or more."""
    low, median, high = statistics.quantiles(figures, n=4, method="inclusive")
    return Spread(median, low, high)
