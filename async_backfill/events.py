"""The events that a cache sends to its observers: frozen values, so that fields can be added later."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from async_backfill.contracts import ControlOrder
from async_backfill.errors import StoreError
from async_backfill.outcomes import LoadCause
from async_backfill.records import AuditRecord, BudgetState, CircuitState, JournalReading, SnapshotStats

__all__ = [
    "BackfillAudited",
    "BudgetChanged",
    "CacheEvent",
    "CircuitChanged",
    "ControlChanged",
    "Event",
    "FarStoreFailed",
    "JournalRead",
    "KeysEvicted",
    "KeysExpired",
    "KeysInvalidated",
    "KeysPut",
    "LoadFinished",
    "Observer",
    "ReadinessChanged",
    "SnapshotChanged",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEvent:
    """What every event has: ``cache`` is the name of the cache, ``None`` where it has none."""

    cache: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFinished(CacheEvent):
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
        the exception of a call that failed as a whole, else ``None``: what it raised, or the first of its
        failures when it answered `Failed` for each key.
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
class KeysPut(CacheEvent):
    """A caller has put values for these keys."""

    keys: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysEvicted(CacheEvent):
    """Keys were evicted to make room, in this order."""

    keys: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysExpired(CacheEvent):
    """The values of these keys were removed because they had expired, and may not be served as stale."""

    keys: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysInvalidated(CacheEvent):
    """Keys were removed because their values may be outdated.

    ``keys``
        ``None`` for all keys: the cache was cleared.
    ``elsewhere``
        whether that was told by another process, which has put or removed them; with all keys also that
        what others told may have been missed.
    """

    keys: tuple[Hashable, ...] | None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillAudited(CacheEvent):
    """A record was added to the audit log, or the latest one was repeated.

    ``record.status`` says what it is: a backfill was started, has ended, was denied, or was skipped, for
    ``record.reason``; or a person approved more.

    ``seconds``
        how long a backfill took that has ended, by the cache's clock; else ``None``.
    """

    record: AuditRecord
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetChanged(CacheEvent):
    """The permits for automatic backfills have changed: one was spent, or a person approved more.

    ``permits_left``
        backfills that may still start.
    ``is_known``
        ``False``: the permits of a fleet cannot be reached, so none counts as left.
    """

    state: BudgetState
    permits_left: int
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged(CacheEvent):
    """The circuit breaker in front of the source, or of the far tier (L2), has changed its state.

    ``failures``
        how many calls in a row had failed by then.
    """

    before: Literal["source", "far tier"]
    state: CircuitState
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChanged(CacheEvent):
    """A person's order to the running cache was carried out; see `async_backfill.control.Control`.

    ``order``
        what was ordered, by whom, and why.
    ``elsewhere``
        whether it was given in another process of the fleet.
    """

    order: ControlOrder
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessChanged(CacheEvent):
    """The cache began to warm, is ready, or gave up.

    Its fields are those of `async_backfill.backfill.readiness.Readiness`; ``state`` is a ``ReadinessState``.
    """

    state: str
    reason: str
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStoreFailed(CacheEvent):
    """A call of the far tier (L2) failed or was too slow; the text of ``error`` says which call, and why."""

    error: StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRead(CacheEvent):
    """The journal of hot keys was read when the cache was opened first; ``reading`` says what came of it."""

    reading: JournalReading


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotChanged(CacheEvent):
    """A snapshot was refused, restored (also: a further part of it), saved, or not saved."""

    stats: SnapshotStats


Event: TypeAlias = (
    LoadFinished
    | KeysPut
    | KeysEvicted
    | KeysExpired
    | KeysInvalidated
    | BackfillAudited
    | BudgetChanged
    | CircuitChanged
    | ControlChanged
    | ReadinessChanged
    | FarStoreFailed
    | JournalRead
    | SnapshotChanged
)
"""Any event of a cache."""

Observer: TypeAlias = Callable[[Event], None]
"""A function that is called with each event, in the order in which they happen."""
