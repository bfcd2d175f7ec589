"""Audit records of decisions about backfills, each with what it was based on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.backfill._audit.log import AuditLog
    from async_backfill.backfill._episode import Episode
    from async_backfill.backfill._fleet_budget import FleetBudget
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.records import AuditRecord, BackfillCause, Status


class Decisions:
    """Adds records to ``audit`` with the state of the cache at that moment.

    :param lookups: returns how many lookups the cache has counted.
    :param reading: returns the misses and lookups that the trigger saw.
    """

    def __init__(
        self,
        audit: AuditLog,
        budget: BackfillBudget | FleetBudget,
        *,
        lookups: Callable[[], int],
        reading: Callable[[], tuple[int, int]],
    ) -> None:
        self._audit = audit
        self._budget = budget
        self._lookups = lookups
        self._reading = reading

    def record(
        self, status: Status, cause: BackfillCause, episode: Episode | None = None, **facts: object
    ) -> AuditRecord:
        """Add a record, with who asked for ``episode``; return it."""
        misses, lookups = self._reading()
        asked: dict[str, object] = {} if episode is None else {"by": episode.by, "reason": episode.reason}
        return self._audit.add(
            status,
            lookup=self._lookups(),
            cause=cause,
            window_misses=misses,
            window_lookups=lookups,
            permits_left=self._budget.permits_left,
            **(asked | facts),
        )
