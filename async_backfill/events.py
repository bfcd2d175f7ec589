"""The events that a cache sends to its observers: frozen values, so that fields can be added later."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeAlias

from async_backfill.errors import StoreError
from async_backfill.outcomes import LoadCause
from async_backfill.records import AuditRecord, JournalReading, SnapshotStats

__all__ = [
    "BackfillAudited",
    "Event",
    "FarStoreFailed",
    "JournalRead",
    "KeysEvicted",
    "LoadFinished",
    "Observer",
    "SnapshotChanged",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFinished:
    """A ``load_many`` call has ended.

    ``cause``
        why the source was called.
    ``keys``
        the keys that were asked for.
    ``found``
        the keys that the source delivered a value for.
    ``seconds``
        how long the call took, by the cache's clock.
    ``error``
        the exception of a call that failed as a whole, else ``None``.
    ``along``
        those of ``found`` that no caller had asked for: successors.
    """

    cause: LoadCause
    keys: tuple[Hashable, ...]
    found: tuple[Hashable, ...]
    seconds: float
    error: BaseException | None
    along: tuple[Hashable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysEvicted:
    """Keys were evicted to make room, in this order."""

    keys: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillAudited:
    """A record was added to the audit log, or the latest one was repeated."""

    record: AuditRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStoreFailed:
    """A call of the far tier (L2) failed or was too slow; the text of ``error`` says which call, and why."""

    error: StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRead:
    """The journal of hot keys was read when the cache was opened first; ``reading`` says what came of it."""

    reading: JournalReading


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotChanged:
    """A snapshot was refused, restored (also: a further part of it), saved, or not saved."""

    stats: SnapshotStats


Event: TypeAlias = (
    LoadFinished | KeysEvicted | BackfillAudited | FarStoreFailed | JournalRead | SnapshotChanged
)
"""Any event of a cache."""

Observer: TypeAlias = Callable[[Event], None]
"""A function that is called with each event, in the order in which they happen."""
