"""The hit rate of a cache over time, as far back as somebody has looked at its page."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from anyio import current_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.stats import Stats

_APART: Final = 5.0
_MOST_SAMPLES: Final = 121
_MOST_CACHES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Some seconds of a cache: how many lookups there were, and what share of them were hits."""

    seconds: float
    lookups: int
    hit_rate: float


class Courses:
    """Keeps counters of the caches whose pages are looked at: of ten minutes, and of the last 200 caches."""

    def __init__(self) -> None:
        self._samples: OrderedDict[str, deque[tuple[float, int, int]]] = OrderedDict()

    def note(self, address: str, stats: Stats) -> Sequence[Stretch]:
        """Take note of the counters of a cache now, and return its stretches, the first one first."""
        samples = self._samples.setdefault(address, deque(maxlen=_MOST_SAMPLES))
        self._samples.move_to_end(address)
        if len(self._samples) > _MOST_CACHES:
            self._samples.popitem(last=False)
        now = current_time()
        if not samples or now - samples[-1][0] >= _APART:
            samples.append((now, stats.lookups, stats.hits))
        return [
            Stretch(seconds=end - begin, lookups=after - before, hit_rate=(hits - hit) / (after - before))
            for (begin, before, hit), (end, after, hits) in pairwise(samples)
            if after > before
        ]
