"""A journal in memory, read before a replay and written after it, so that the replay uses no file."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from async_backfill._common.journal_format import NOT_A_JOURNAL
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.errors import JournalError, ScenarioError

if TYPE_CHECKING:
    from async_backfill.contracts import Heats, Journal


class HeldJournal:
    """A copy of ``journal`` in memory; implements `Journal`.

    It is made by `of`; `write` saves the last heats to ``journal``.
    """

    # A cache logs a save that fails, and a command must fail with it. And virtual time would jump while
    # a thread works on a file: see decision 29 in notes.md.

    def __init__(self, journal: Journal[Any], loaded: Heats[Any] | JournalError | None) -> None:
        self._journal = journal
        self._loaded = loaded
        self._saved: Heats[Any] | None = None

    @classmethod
    async def of(cls, journal: Journal[Any]) -> Self:
        """Read ``journal``; the error of a damaged one is raised when the cache loads it.

        :raises ScenarioError: when it is a file of another kind, which a journal must not replace.
        """
        try:
            return cls(journal, await journal.load())
        except JournalError as error:
            if str(error).endswith(NOT_A_JOURNAL):
                raise ScenarioError(f"{error}, and would be replaced by one") from error
            return cls(journal, error)

    async def load(self) -> Heats[Any] | None:
        """Return the heats of the journal.

        :raises JournalError: when the journal was damaged.
        """
        if isinstance(self._loaded, JournalError):
            raise self._loaded
        return self._loaded

    async def save(self, heats: Heats[Any], /) -> None:
        """Keep ``heats`` in place of the heats saved before, with the time by the clock of the machine.

        That of a replay may begin at zero, and whoever reads them next lives in real time.
        """
        written = heats.provenance
        if written is not None:
            written = replace(written, time=time.time())
        self._saved = replace(heats, provenance=written)

    async def write(self) -> None:
        """Save the last heats to the journal, if there are any."""
        if self._saved is not None:
            await self._journal.save(self._saved)

    def close(self) -> None:
        """Let others save to the file, if it is one."""
        if isinstance(self._journal, JournalFile):
            self._journal.close()
