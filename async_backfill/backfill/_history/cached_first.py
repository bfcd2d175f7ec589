"""The heats for a journal: of the keys that are cached first, then of the hottest others."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final

from async_backfill._common.journal_format import hottest_first
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UNNOTED: Final = 1.0
"""What is added to the heat of a cached key, one lookup right now: of many hits no note is taken."""


class CachedFirst(Mapping[K, float]):
    """``heats`` with the keys of ``cached`` before all others; they are brought together when they are read.

    That is in the thread that saves the journal. A key that is cached may live on hits alone, of which the
    recorder notes but a few, so that it would be missing among the hot ones.

    :param heats: a fixed snapshot of the heats.
    :param cached: the keys that are cached, those first that would stay longest.
    :param most: keys at the most; the coldest of the others are left out.
    """

    def __init__(self, heats: Mapping[K, float], cached: Sequence[K], most: int) -> None:
        self._heats = heats
        self._cached = cached
        self._most = most
        self._all: dict[K, float] | None = None

    def __getitem__(self, key: K) -> float:
        return self._together()[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._together())

    def __len__(self) -> int:
        return len(self._together())

    def _together(self) -> dict[K, float]:
        if self._all is None:
            # Key by key: one call into C for all would hold the interpreter lock, and so the event loop.
            heats = self._heats
            ranked = [(heats.get(key, 0.0) + _UNNOTED, key) for key in self._cached]
            together = {key: heat for heat, key in hottest_first(ranked)}
            others = [(heat, key) for key, heat in heats.items() if key not in together]
            room = max(0, self._most - len(together))
            for heat, key in islice(hottest_first(others), room):
                together[key] = heat  # noqa: PERF403 - as above
            self._all = together
        return self._all
