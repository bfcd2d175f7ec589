"""What a backfill is made of: a trigger, a selection, a journal of hot keys and an audit sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol

from async_backfill.contracts._types import K

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from async_backfill.records import AuditRecord


class Trigger(Protocol):
    """Decides from the stream of lookups when a backfill should be offered."""

    def observe_miss(self, lookup: int, /) -> bool:
        """Take note that lookup number ``lookup`` missed; return whether to offer a backfill.

        Lookups are numbered from 1. Hits are not reported: they are the numbers in between.
        """
        ...

    def reading(self) -> tuple[int, int]:
        """Return the misses and the lookups that the last decision was taken from."""
        ...


class Selection(Protocol[K]):
    """Says which keys a backfill should load."""

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return up to ``limit`` keys worth loading, best first; never cached or in flight ones."""
        ...

    def outlook(self) -> bool | None:
        """Return whether there is something left to select, or ``None`` where that needs a `select`."""
        ...

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys``: the source was asked and does not have them."""
        ...


@dataclass(frozen=True, slots=True)
class Heats(Generic[K]):
    """Which keys are hot: the heat of each, 1.0 for one lookup right now, and the usual share of hits."""

    keys: Mapping[K, float]
    hit_rate: float | None


class Journal(Protocol[K]):
    """Where the heat of keys is kept beyond this process."""

    async def load(self) -> Heats[K] | None:
        """Return what was saved last; ``None`` when nothing was.

        :raises JournalError: when it cannot be understood.
        """
        ...

    async def save(self, heats: Heats[K], /) -> None:
        """Keep ``heats`` in place of what was saved before, whole or not at all."""
        ...


class AuditSink(Protocol):
    """Where audit records are kept beyond this process."""

    async def write(self, records: Sequence[AuditRecord], /) -> None:
        """Keep ``records``. One with the number of an earlier one replaces it: it repeats more often."""
        ...
