"""What the page of a replay shows, so that a replay without a page needs no library for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._runner.replay.course import Course


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a page shows.

    ``name``, ``source``
        the scenario, and the kind of its source.
    ``timed``
        whether the times of ``course`` are virtual, so that they are the same on each run.
    ``taken_for``
        lines about what each file was taken for.
    ``failures``
        the most frequent causes of failed lookups, with their counts.
    """

    name: str
    source: str
    summary: Mapping[str, Any]
    course: Course
    timed: bool
    taken_for: Sequence[str] = ()
    failures: Sequence[tuple[str, int]] = ()
