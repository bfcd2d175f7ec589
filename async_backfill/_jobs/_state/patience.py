"""A state that may go away for a while, for those who have something to keep that took long."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from anyio import current_time, sleep

from async_backfill._common.line_a_second import LineASecond
from async_backfill._jobs._errors import JobStateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.contracts import JobState, Transaction

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_SECONDS: Final = 300.0
_PAUSE: Final = 1.0
_AWAY: Final = "the state of jobs cannot be used, and is waited for: %s"


class PatientState:
    """``state``, which is tried again for 5 minutes when it cannot be used; implements `JobState`."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._log = LineASecond(_LOGGER, current_time, between=10.0)

    async def transact(self, work: Callable[[Transaction], T], /) -> T:
        """Run ``work`` in one transaction, as the state does."""
        end = current_time() + _SECONDS
        while True:
            try:
                return await self._state.transact(work)
            except JobStateError as error:
                if current_time() >= end:
                    raise
                self._log.warning(_AWAY, error)
            await sleep(_PAUSE)

    async def transact_once(self, work: Callable[[Transaction], T], /) -> T | None:
        """Run ``work`` as `transact` does, without waiting; ``None`` when the state cannot be used."""
        try:
            return await self._state.transact(work)
        except JobStateError as error:
            self._log.warning(_AWAY, error)
        return None
