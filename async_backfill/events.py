"""Facts that the cache tells its observers, as frozen values, so that fields can be added later."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeAlias

from async_backfill.errors import StoreError
from async_backfill.outcomes import LoadCause
from async_backfill.records import AuditRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFinished:
    """One ``load_many`` call ended: what it was asked, what it delivered, how long it took.

    ``along`` are those of ``found`` that nobody had asked for. ``error`` is the exception of a call
    that failed as a whole, else ``None``. ``seconds`` are measured with the cache's clock.
    """

    cause: LoadCause
    keys: tuple[Hashable, ...]
    found: tuple[Hashable, ...]
    seconds: float
    error: BaseException | None
    along: tuple[Hashable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysEvicted:
    """These keys were pushed out to make room, oldest first."""

    keys: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillAudited:
    """A record was added to the audit log."""

    record: AuditRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class FarStoreFailed:
    """A call of the store that processes share failed or was late; the text of ``error`` says which."""

    error: StoreError


Event: TypeAlias = LoadFinished | KeysEvicted | BackfillAudited | FarStoreFailed
"""What happened, as one of these."""
Observer: TypeAlias = Callable[[Event], None]
"""Is called with each event, in the order in which they happen."""
