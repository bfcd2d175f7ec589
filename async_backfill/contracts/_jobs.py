"""What a durable job asks of its two ends, beside the rows and the copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class SourceFacts(Protocol):
    """The ability of some sources to say how large they are, what their rows look like, and how they fare.

    Declared by inheriting from this class.
    """

    async def count(self) -> tuple[int, str]:
        """Return the number of rows, and how it was found, such as ``"counted"``; an estimate will do."""
        ...

    async def schema(self) -> str | None:
        """Return a fingerprint of the columns and their types, another one when they change.

        That of a file changes with the file. ``None`` where it is not known.
        """
        ...

    async def lag(self) -> float | None:
        """Return the seconds that a replica lags behind; ``None`` for a source that is none."""
        ...

    async def load(self, query: str, /) -> float:
        """Return the number that ``query`` asks the source's database for.

        :raises ConfigurationError: when it has no database, or the answer is not one number.
        """
        ...

    async def middle(self, after: object | None, until: object | None, /) -> object | None:  # noqa: ARG002
        """Return a cursor of its `Rows` between two, without reading the rows there; ``None`` if unknown.

        The parts need not have as many rows. A job asks when even a page of a few rows is not read in time,
        such as one of a view that leaves out nearly all of its table: then it reads half of the range.
        """
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """How a store fares.

    ``used``, ``limit``
        bytes; ``None`` where it does not say, or has no limit. Of several servers, ``limit`` is what they use
        together when the fullest of them is full.
    ``evicted``
        how many entries it has evicted since it began; ``None`` where it does not say.
    ``clock``
        seconds since the epoch by its own clock; ``None`` where it is the clock of this machine. Of several
        servers, the one that is farthest from this machine's.
    ``run``
        what is another text after a restart or a failover, which may have cost it its last writes; ``None``
        where it does not say, or loses none by that.
    """

    used: int | None = None
    limit: int | None = None
    evicted: int | None = None
    clock: float | None = None
    run: str | None = None


class StoreFacts(Protocol):
    """The ability of some far stores to keep marks of jobs beside the entries, and to say how they fare.

    Declared by inheriting from this class. A mark is lost when the store, or any server of it, is: so a job
    learns that the rows it wrote are gone. ``clear`` removes the marks as well; else only `unmark` does.
    """

    async def mark(self, name: str, value: str, /) -> None:
        """Keep ``value`` as the mark of that name: 1 to 100 letters, digits, ``.``, ``_``, ``:`` or ``-``.

        :raises ConfigurationError: for another name.
        """
        ...

    async def marked(self, name: str, /) -> str | None:
        """Return the mark of that name; ``None`` if there is none, or a server has lost it."""
        ...

    async def unmark(self, name: str, /) -> None:
        """Forget the mark of that name, if there is one."""
        ...

    async def state(self) -> StoreState:
        """Return how the store fares now."""
        ...
