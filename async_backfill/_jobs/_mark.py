"""The mark of a job in the store: it is gone when the rows are, so that a job learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._jobs._errors import JobRefusedError

if TYPE_CHECKING:
    from async_backfill._jobs._records import JobRecord
    from async_backfill.contracts import StoreFacts

LOST: Final = "the store lost its memory: the job's mark is gone, and rows with it; go on from the start"
_HASH: Final = 16


class Mark:
    """The mark of ``job`` in a store; a store without marks always has it.

    It holds the number of entries that the store had evicted by then.
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
            await self._facts.mark(self._name, f"{self._start}{await self._evicted()}")
            return True
        return found is not None

    async def is_there(self) -> bool:
        """Return whether the store still has the mark."""
        return self._facts is None or (await self._found()) is not None

    async def evicted(self) -> int | None:
        """Return how many entries the store has evicted since the mark was made; ``None`` without the mark.

        A store that counts anew since, as after a restart, may have evicted any number, but 0.
        """
        if self._facts is None:
            return 0
        found = await self._found()
        return None if found is None else abs(await self._evicted() - int(found))

    async def remove(self) -> None:
        """Remove the mark: the job is over."""
        if self._facts is not None:
            await self._facts.unmark(self._name)

    async def _found(self) -> str | None:
        """Return what the mark of this job holds."""
        assert self._facts is not None  # noqa: S101 - asked for by the callers
        found = await self._facts.marked(self._name)
        return (
            found.removeprefix(self._start) if found is not None and found.startswith(self._start) else None
        )

    async def _evicted(self) -> int:
        assert self._facts is not None  # noqa: S101 - as above
        return (await self._facts.state()).evicted or 0
