"""Work on each job that runs, one after the other, whoever started them."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from anyio import current_time, move_on_after, sleep_forever

from async_backfill._common.error_text import error_line
from async_backfill._jobs._state.jobs import ids_worked_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import Event

    from async_backfill.contracts import JobState

_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_LOOK: Final = 1.0
_ANEW: Final = 5.0


async def work_on_all(
    state: JobState, work: Callable[[int], Awaitable[None]], *, wait: bool, stop: Event | None
) -> int:
    """Call ``work`` with the number of each job that runs; return how many were worked on.

    One that cannot be worked on keeps nobody from the others: the log says why, and its error is raised at
    the end. See `Jobs.work` for ``wait`` and ``stop``.
    """
    count, failed, not_before = 0, dict[int, Exception](), dict[int, float]()
    while stop is None or not stop.is_set():
        running = await state.transact(ids_worked_on)
        due = [each for each in running if not_before.get(each, 0.0) <= current_time()]
        for each in due[:1]:
            try:
                await work(each)
                count += 1
                failed.pop(each, None)
            except Exception as error:  # noqa: BLE001 - an opener of ends may raise anything
                _LOGGER.warning(
                    "job %d cannot be worked on: %s", each, error_line(error), extra={"job": each}
                )
                failed[each] = error
            not_before[each] = current_time() + _ANEW if wait else math.inf
        if not due and not wait:
            break
        if not due:
            with move_on_after(_LOOK):
                await (sleep_forever() if stop is None else stop.wait())
    if failed and not wait:
        raise next(iter(failed.values()))
    return count
