"""From the heat of keys in memory to a journal: now and then, and never in a caller's way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, Lock, sleep

from async_backfill._common.attempt import attempt
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.contracts import Heats, Journal, Spawn

_LOGGER: Final = logging.getLogger("async_backfill.journal")


class JournalWriter(Generic[K]):
    """Saves what ``snapshot`` returns every ``interval`` seconds, as long as there is something new.

    A save that fails is logged once, until one succeeds again, and tried again at the next interval.

    :param snapshot: returns what to save; ``None`` when nothing has changed since the last time.
    :param spawn: starts a task that the cache owns.
    """

    def __init__(
        self,
        journal: Journal[K],
        snapshot: Callable[[], Heats[K] | None],
        *,
        interval: float,
        spawn: Spawn,
    ) -> None:
        self._journal = journal
        self._snapshot = snapshot
        self._interval = interval
        self._saving = Lock()
        self._unsaved: Heats[K] | None = None
        self._failed = False
        spawn(self._work)

    async def flush(self) -> None:
        """Save now, after any save under way; return once it was saved, or that has failed."""
        async with self._saving:
            heats = self._snapshot() or self._unsaved
            if heats is None:
                return
            self._unsaved = heats
            call = await attempt(lambda: self._journal.save(heats), CancelScope())
            if call.error is None:
                self._unsaved = None
                self._failed = False
            elif isinstance(call.error, (KeyboardInterrupt, SystemExit)):
                raise call.error
            elif not self._failed:
                self._failed = True
                _LOGGER.error(
                    "the journal of %d hot keys was not saved; it is tried again every %s s",
                    len(heats.keys),
                    self._interval,
                    exc_info=call.error,
                )

    async def _work(self) -> None:
        while True:
            await sleep(self._interval)
            await self.flush()
