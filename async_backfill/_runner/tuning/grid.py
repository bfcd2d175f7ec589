"""The settings to try: a coarse grid, then sweeps and finer steps around the best so far."""

# The full product of all settings would be hundreds of replays of seconds each, so only capacity and eviction
# are crossed: see decision 28 in notes.md.

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill.policies import SELECTIONS
from async_backfill.stores._eviction.orders import EVICTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from async_backfill._runner.scenario.model import Settings


_LARGE_BATCHES: Final = (5000,)
_FEW_SUCCESSORS: Final = 2


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of a scenario: the number of the source's keys that it looks up, and of all its keys."""

    wanted: int
    in_source: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One setting that is varied.

    ``coarse``
        a function that returns the first values to try, besides the scenario's own.
    ``between``
        a function that returns a value between two others, or ``None`` when there is none; without this
        function there are no finer steps.
    ``crossed``
        whether each value is tried with each value of the other crossed dimensions at the start. The other
        dimensions are only varied around the best so far.
    """

    name: str
    coarse: Callable[[Extent], Sequence[Any]]
    between: Callable[[Any, Any, Extent], Any] | None = None
    crossed: bool = False


def _capacities(extent: Extent) -> list[int | None]:
    return [*(max(1, math.ceil(extent.wanted * share)) for share in (0.02, 0.1, 0.5)), None]


def _batches(extent: Extent) -> list[int]:
    """Return batches up to the first that holds all keys of the source."""
    return [10, 1000, *(batch for batch in _LARGE_BATCHES if extent.in_source > 1000)]


def _capacity_between(low: int, high: int | None, extent: Extent) -> int | None:
    return _whole_between(low, max(low, extent.wanted) if high is None else high, extent)


def _whole_between(low: int | None, high: int | None, _: Extent) -> int | None:
    """Return the geometric mean: both halves of the range then span the same factor."""
    if low is None or high is None or not low:
        return None
    middle = round(math.sqrt(low * high))
    return middle if low < middle < high else None


def _share_between(low: float, high: float, _: Extent) -> float | None:
    middle = round(math.sqrt(low * high), 3)
    return middle if low < middle < high else None


DIMENSIONS: Final = (
    Dimension(name="capacity", coarse=_capacities, between=_capacity_between, crossed=True),
    Dimension(name="eviction", coarse=lambda _: EVICTIONS, crossed=True),
    Dimension(name="miss_threshold", coarse=lambda _: (0.05, 0.5), between=_share_between),
    Dimension(name="backfill_batch", coarse=_batches, between=_whole_between),
    Dimension(name="selection", coarse=lambda _: SELECTIONS),
    Dimension(name="successors", coarse=lambda _: (0, 8)),
    Dimension(name="max_backfills", coarse=lambda _: (0, 10, None), between=_whole_between),
)
"""The varied settings, in the order of the columns of table and report."""


def coarse(base: Settings, extent: Extent) -> list[Settings]:
    """Return ``base``, then each combination of the coarse values of the crossed dimensions."""
    crossed = [dimension for dimension in DIMENSIONS if dimension.crossed]
    combinations = product(*(_values(dimension, base, extent) for dimension in crossed))
    names = [dimension.name for dimension in crossed]
    tries = (
        msgspec.structs.replace(base, **dict(zip(names, values, strict=True))) for values in combinations
    )
    return _distinct([base, *tries], base, extent)


def sweep(around: Sequence[Settings], base: Settings, extent: Extent) -> list[Settings]:
    """Return ``around`` with each dimension in turn set to each of its coarse values.

    Before them come the largest batches together with a few successors: both are worth little alone where
    they are worth most together.
    """
    most = max(_batches(extent))
    tries = [
        [
            msgspec.structs.replace(settings, backfill_batch=most, successors=_FEW_SUCCESSORS),
            *(
                msgspec.structs.replace(settings, **{dimension.name: value})
                for dimension in DIMENSIONS
                for value in _values(dimension, base, extent)
            ),
        ]
        for settings in around
    ]
    return _distinct(_in_turn(tries), base, extent)


def fine(
    around: Sequence[Settings], tried: Iterable[Settings], base: Settings, extent: Extent
) -> list[Settings]:
    """Return ``around`` with each dimension in turn set half way to the nearest values tried so far."""
    known = list(tried)
    ladders = {
        dimension.name: sorted({getattr(settings, dimension.name) for settings in known}, key=_or_infinite)
        for dimension in DIMENSIONS
        if dimension.between is not None
    }
    tries = [_steps(settings, ladders, extent) for settings in around]
    return _distinct(_in_turn(tries), base, extent)


def changes(settings: Settings, base: Settings) -> int:
    """Return the number of dimensions in which ``settings`` differs from ``base``."""
    return sum(getattr(settings, dimension.name) != getattr(base, dimension.name) for dimension in DIMENSIONS)


def _steps(settings: Settings, ladders: dict[str, list[Any]], extent: Extent) -> list[Settings]:
    steps = []
    for dimension in DIMENSIONS:
        if dimension.between is None:
            continue
        ladder = ladders[dimension.name]
        place = ladder.index(getattr(settings, dimension.name))
        for low, high in zip(ladder[max(0, place - 1) : place + 1], ladder[max(1, place) :], strict=False):
            middle = dimension.between(low, high, extent)
            if middle is not None:
                steps.append(msgspec.structs.replace(settings, **{dimension.name: middle}))
    return steps


def _values(dimension: Dimension, base: Settings, extent: Extent) -> list[Any]:
    """Return the distinct coarse values, with the scenario's own first."""
    return list(dict.fromkeys([getattr(base, dimension.name), *dimension.coarse(extent)]))


def _distinct(tries: Iterable[Settings], base: Settings, extent: Extent) -> list[Settings]:
    return list(dict.fromkeys(_as_it_acts(settings, base, extent) for settings in tries))


def _as_it_acts(settings: Settings, base: Settings, extent: Extent) -> Settings:
    """Return ``settings`` with each setting that has no effect as in ``base``, so that no replay repeats."""
    idle: dict[str, Any] = {}
    if settings.capacity is None or settings.capacity >= extent.in_source:
        idle["capacity"], idle["eviction"] = None, base.eviction
    if settings.max_backfills == 0:
        idle["miss_threshold"], idle["backfill_batch"] = base.miss_threshold, base.backfill_batch
    return msgspec.structs.replace(settings, **idle)


def _in_turn(rows: Iterable[Sequence[Settings]]) -> list[Settings]:
    """Return the first of each row, then the second of each, so that a prefix has some of each row."""
    return [settings for column in zip_longest(*rows) for settings in column if settings is not None]


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
