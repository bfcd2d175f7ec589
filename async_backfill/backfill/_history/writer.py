"""The writer of the journal: saves the hot keys in the background, every few seconds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, Lock, sleep

from async_backfill._common.attempt import attempt
from async_backfill._common.log_lines import CacheLog
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.contracts import Heats, Journal, Spawn

_LOGGER: Final = logging.getLogger("async_backfill.journal")


class JournalWriter(Generic[K]):
    """Saves the hot keys to ``journal`` every ``interval`` seconds, if they have changed.

    A save that fails is tried again after the next interval; only the first failure in a row is logged.

    :param journal: keeps the hot keys.
    :param snapshot: returns the heats to save; ``None`` when nothing has changed since the last call.
    :param interval: seconds between two saves: what a crash can lose.
    :param spawn: starts a task that the cache owns.
    :param cache: the name of the cache, for the log.
    """

    def __init__(
        self,
        journal: Journal[K],
        snapshot: Callable[[], Heats[K] | None],
        *,
        interval: float,
        spawn: Spawn,
        cache: str | None = None,
    ) -> None:
        self._log = CacheLog(_LOGGER, cache)
        self._journal = journal
        self._snapshot = snapshot
        self._interval = interval
        self._saving = Lock()
        self._unsaved: Heats[K] | None = None
        self._failed = False
        spawn(self._work)

    async def flush(self) -> None:
        """Save now, after any save in progress; return once it has succeeded or failed."""
        # Only a copy of the heats is made here; a `JournalFile` encodes it in a worker thread, so that
        # the event loop is not held. What is saved is recorded after misses: decision 23 in notes.md.
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
                is_told = isinstance(call.error, OSError)  # its text says all there is to know
                self._log.error(
                    "the journal of hot keys was not saved; it is tried again every %s s%s",
                    self._interval,
                    f": {call.error}" if is_told else "",
                    exc_info=None if is_told else call.error,
                )

    async def _work(self) -> None:
        while True:
            await sleep(self._interval)
            await self.flush()
