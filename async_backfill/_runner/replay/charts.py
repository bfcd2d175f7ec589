"""The charts of the page of a replay as paths of SVG, without labels: text would shrink with them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._runner.replay.course import Course, Point

_WIDTH: Final = 1000.0
_HEIGHT: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing of ``path`` between the labels ``top`` and ``bottom``."""

    caption: str
    top: str
    bottom: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The lookups between two points, from ``left`` on, ``width`` wide; ``told`` is what happened."""

    left: str
    width: str
    told: str
    backfills: int


def places(course: Course, *, timed: bool) -> Callable[[Point], float]:
    """Return a function that places a point between 0 and the width of a chart."""
    last = course.points[-1]
    if timed and last.seconds:
        return lambda point: point.seconds / last.seconds * _WIDTH
    return lambda point: point.lookups / max(1, last.lookups) * _WIDTH


def stretches(points: Sequence[Point], place: Callable[[Point], float]) -> list[Stretch]:
    """Return what happened between each of ``points`` and the next."""
    return [
        Stretch(
            left=_number(place(one)),
            width=_number(max(1.0, place(other) - place(one))),
            told=_told(one, other),
            backfills=other.backfills - one.backfills,
        )
        for one, other in pairwise(points)
    ]


def _told(one: Point, other: Point) -> str:
    lookups = other.lookups - one.lookups
    parts = [
        f"lookups {one.lookups + 1:,} to {other.lookups:,}",
        f"hit rate {(other.hits - one.hits) / lookups:.2%}",
        f"{other.source_calls - one.source_calls:,} calls",
        f"{other.source_keys - one.source_keys:,} keys",
    ]
    if backfills := other.backfills - one.backfills:
        parts.append(f"{backfills:,} backfills")
    return "; ".join(parts)


def rate(points: Sequence[Point], place: Callable[[Point], float]) -> Chart:
    """Return the hit rate over ``points``, as steps."""
    rates = [
        (place(one), place(other), (other.hits - one.hits) / (other.lookups - one.lookups))
        for one, other in pairwise(points)
    ]
    steps = (
        f"{'L' if number else 'M'}{_number(left)} {_number(_HEIGHT * (1 - rate))}H{_number(right)}"
        for number, (left, right, rate) in enumerate(rates)
    )
    caption = "hit rate; marks at the foot: backfills; dashed: the cache was cleared"
    return Chart(caption=caption, top="100 %", bottom="0 %", path="".join(steps))


def bars(
    what: str, points: Sequence[Point], place: Callable[[Point], float], count: Callable[[Point], int]
) -> Chart:
    """Return how much ``count`` grew between each of ``points`` and the next, as bars."""
    counts = [(place(one), place(other), count(other) - count(one)) for one, other in pairwise(points)]
    most = max((each for *_, each in counts), default=0)
    bars = (
        f"M{_number(left)} {_number(_HEIGHT)}V{_number(_HEIGHT * (1 - each / most))}"
        f"H{_number(max(right, left + 1.0))}V{_number(_HEIGHT)}Z"
        for left, right, each in counts
        if each
    )
    return Chart(caption=f"{what} in each stretch", top=f"{most:,}", bottom="0", path="".join(bars))


def flushes(flush_at: int | None, points: Sequence[Point], place: Callable[[Point], float]) -> list[str]:
    """Return where the cache was cleared: before lookup ``flush_at``."""
    if flush_at is None or flush_at > points[-1].lookups:
        return []
    return [_number(place(max((point for point in points if point.lookups < flush_at), key=place)))]


def _number(value: float) -> str:
    """Return ``value`` for a path, to two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
