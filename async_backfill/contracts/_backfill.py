"""The parts of a backfill: a trigger, a selection, a journal of hot keys and an audit sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol

from async_backfill.contracts._types import K

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from async_backfill.records import AuditRecord, Provenance


class Trigger(Protocol):
    """Decides from the misses when to offer a backfill."""

    def observe_miss(self, lookup: int, /) -> bool:
        """Record that lookup number ``lookup`` missed; return whether to offer a backfill.

        Lookups are numbered from 1. Hits are not reported: they are the numbers in between.
        """
        ...

    def reading(self) -> tuple[int, int]:
        """Return the misses and the lookups that the latest decision was based on."""
        ...


class Selection(Protocol[K]):
    """Chooses the keys that a backfill loads."""

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return up to ``limit`` keys to load, best first; none that is cached or in flight."""
        ...

    def outlook(self) -> bool | None:
        """Return whether there are keys left to select; ``None`` when only `select` can find out."""
        ...

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys``, which the source does not have."""
        ...


@dataclass(frozen=True, slots=True)
class Heats(Generic[K]):
    """The hot keys: the heat of each, where one lookup right now is 1.0, and the usual hit rate.

    ``provenance``
        where they come from; ``None`` when that is not known.
    ``pace``
        lookups in a second, so that the next process knows how many it has missed; ``None`` when that is not
        known, and then the heats do not fade while they lie in the journal.
    ``cached``
        those of ``keys``, the first ones, that the cache held. In a recovery their heat counts
        four times.
    """

    keys: Mapping[K, float]
    hit_rate: float | None
    provenance: Provenance | None = None
    pace: float | None = None
    cached: Collection[K] = ()


class Journal(Protocol[K]):
    """Keeps the heat of keys beyond the life of the process."""

    async def load(self) -> Heats[K] | None:
        """Return the heats that were saved last; ``None`` when there are none.

        :raises JournalError: when they cannot be read.
        """
        ...

    async def save(self, heats: Heats[K], /) -> None:
        """Replace the saved heats by ``heats``, as a whole or not at all."""
        ...


class ExclusiveJournal(Protocol):
    """The ability of some journals to be saved by one cache at a time.

    Declared by inheriting from this class: the cache closes such a journal when it closes.
    """

    def close(self) -> None:
        """Let others save; a later ``save`` asks for it again."""
        ...


class AuditSink(Protocol):
    """Keeps audit records beyond the life of the process."""

    async def write(self, records: Sequence[AuditRecord], /) -> None:
        """Keep ``records``; one with the number of an earlier record replaces it (it has more repeats)."""
        ...
