"""The contract of a state of jobs, behind which a file and a server stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Transaction(Protocol):
    """An open transaction on a state of jobs; what it is given to does nothing but statements and arithmetic.

    Statements are those that SQLite and PostgreSQL both understand, on the tables of the state.
    """

    def rows(self, statement: str, /, *values: Any) -> Sequence[tuple[Any, ...]]:
        """Run ``statement``, whose values stand as ``?``, and return the rows of its answer."""
        ...

    def now(self) -> float:
        """Return seconds since the epoch by the clock of the state, the same in the whole transaction."""
        ...


class JobState(Protocol):
    """Where jobs are kept: durable, and shared by all workers of a job."""

    async def transact(self, work: Callable[[Transaction], T], /) -> T:
        """Run ``work`` in one transaction, alone, and commit; roll back what it raises.

        It may be called again, a bounded number of times, when another process was in the way. Who is
        cancelled while he waits for his turn changes nothing.

        :raises JobStateError: when the state cannot be used; the text says why, and what to do.
        """
        ...
