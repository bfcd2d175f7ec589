"""One transaction on the state of jobs, in statements that SQLite and PostgreSQL both understand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class Transaction(Protocol):
    """An open transaction; it runs in a thread, and does nothing but statements and arithmetic.

    The functions of the rooms beside this one take it; they are what is the same for each kind of state.
    """

    def rows(self, statement: str, /, *values: Any) -> Sequence[tuple[Any, ...]]:
        """Run ``statement``, whose values stand as ``?``, and return the rows of its answer."""
        ...

    def now(self) -> float:
        """Return seconds since the epoch by the clock of the state."""
        ...


class JobState(Protocol):
    """Where jobs are kept: durable, and shared by all workers of a job."""

    async def transact(self, work: Callable[[Transaction], T], /) -> T:
        """Run ``work`` in one transaction, alone, and commit; roll back what it raises.

        It is tried again, a bounded number of times, when another process was in the way.

        :raises JobStateError: when the state cannot be used; the text says why, and what to do.
        """
        ...
