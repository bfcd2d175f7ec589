"""The mark of a job in the store: it is gone when the rows are, so that a job learns of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from async_backfill._common.error_text import error_line
from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobError, JobRefusedError

if TYPE_CHECKING:
    from async_backfill._jobs._records import JobRecord
    from async_backfill.contracts import StoreFacts

LOST: Final = "the store lost its memory: the job's mark is gone, and rows with it; go on from the start"
_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_HASH: Final = 16
_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What may have cost a store rows since a job made its mark.

    ``evicted``
        how many entries it has evicted.
    ``run``
        see `StoreState`; ``is_another`` says whether it was another one then.
    """

    evicted: int = 0
    run: str = ""
    is_another: bool = False


class Mark:
    """The mark of ``job`` in a store; a store without marks always has it.

    It holds the number of entries that the store had evicted by then, and which run of the store that was.
    """

    def __init__(self, facts: StoreFacts | None, job: JobRecord) -> None:
        self._facts = facts
        self._name = f"job:{job.id}"
        # Jobs of two states may have one number, and even one plan.
        self._start = f"{job.plan_hash[:_HASH]}:{job.created:.3f}:"

    async def begin(self, *, has_pages: bool) -> bool:
        """Make the mark of a job that has written nothing; return whether it is there now.

        :raises JobRefusedError: when the store has the mark of a job of another state.
        """
        if self._facts is None:
            return True
        found = await self._facts.marked(self._name)
        if found is not None and not found.startswith(self._start):
            raise JobRefusedError(
                f"the store has the mark {self._name} of another state of jobs: finish or cancel that job "
                "there, or remove its mark if that state is gone for good"
            )
        if found is None and not has_pages:
            evicted, run = await self._now()
            await self._facts.mark(self._name, f"{self._start}{evicted}:{run}")
            return True
        return found is not None

    async def is_there(self) -> bool:
        """Return whether the store still has the mark."""
        return self._facts is None or (await self._found()) is not None

    async def since(self) -> Since | None:
        """Return what has become of the store since the mark was made; ``None`` without the mark."""
        if self._facts is None:
            return Since()
        found = await self._found()
        if found is None:
            return None
        before, _, first = found.partition(":")
        evicted, run = await self._now()
        # A server that was restarted with its data counts anew.
        return Since(evicted=abs(evicted - int(before)), run=run, is_another=run != first)

    async def remove(self) -> None:
        """Remove the mark: the job is over. Where that cannot be done, a line in the log says so."""
        if self._facts is None:
            return
        try:
            call = partial(self._facts.unmark, self._name)
            await answer(call, _SECONDS, "the mark of the job could not be removed")
        except JobError as error:
            _LOGGER.warning("%s", error_line(error))

    async def _found(self) -> str | None:
        """Return what the mark of this job holds."""
        assert self._facts is not None  # noqa: S101 - asked for by the callers
        found = await self._facts.marked(self._name)
        return (
            found.removeprefix(self._start) if found is not None and found.startswith(self._start) else None
        )

    async def _now(self) -> tuple[int, str]:
        assert self._facts is not None  # noqa: S101 - as above
        state = await self._facts.state()
        return state.evicted or 0, state.run or ""
