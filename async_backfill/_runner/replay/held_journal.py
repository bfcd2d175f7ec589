"""A journal that is read before and written after a run, so that the run itself touches no file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from async_backfill.errors import JournalError

if TYPE_CHECKING:
    from async_backfill.contracts import Heats, Journal


class HeldJournal:
    """Holds what ``journal`` held and what is saved; a `async_backfill.contracts.Journal`.

    Made by `of`; what was saved last reaches ``journal`` with `write`.
    """

    def __init__(self, journal: Journal[Any], loaded: Heats[Any] | JournalError | None) -> None:
        self._journal = journal
        self._loaded = loaded
        self._saved: Heats[Any] | None = None

    @classmethod
    async def of(cls, journal: Journal[Any]) -> Self:
        """Read ``journal``; one that is damaged says so when the cache loads it."""
        try:
            return cls(journal, await journal.load())
        except JournalError as error:
            return cls(journal, error)

    async def load(self) -> Heats[Any] | None:
        """Return what the journal held.

        :raises JournalError: when it could not be understood.
        """
        if isinstance(self._loaded, JournalError):
            raise self._loaded
        return self._loaded

    async def save(self, heats: Heats[Any], /) -> None:
        """Take ``heats`` in place of what was saved before."""
        self._saved = heats

    async def write(self) -> None:
        """Save in the journal what was saved last, if anything was."""
        if self._saved is not None:
            await self._journal.save(self._saved)
