"""Take the keys out of a file of lookups, block by block: one a line, or in the lines of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._runner.scenario.coded_keys import KeyCoder
from async_backfill._runner.wording import shown
from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

    from async_backfill._runner.logs.formats import Format


class PlainKeys:
    """One key a line; blank lines are allowed at the end only: one in between would be a lost lookup."""

    description: Final = "one key a line"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blanks = 0
        self.keys = KeyCoder()

    @property
    def lines(self) -> int:
        """The number of lines with a key."""
        return len(self.keys)

    def take(self, text: str) -> None:
        """Read ``text``, whole lines.

        :raises ScenarioError: for a line after a blank one.
        """
        lines = text.replace("\r\n", "\n").removesuffix("\r").split("\n")
        blanks = 0
        while lines and not lines[-1]:
            lines.pop()
            blanks += 1
        if lines and (self._blanks or "" in lines):
            number = len(self.keys) + (0 if self._blanks else lines.index("")) + 1
            raise ScenarioError(f"{self._path}:{number}: the line is blank, expected a key")
        self._blanks += blanks
        self.keys.take(lines)

    def finish(self) -> None:
        """Nothing is held back, and a file without a key is no lookup."""


class LoggedKeys:
    """The lines of a ``log``, each with a key or without."""

    def __init__(self, path: Path, log: Format) -> None:
        self._path = path
        self._log = log
        self._first = ""
        self.description = log.description
        self.keys = KeyCoder()
        self.lines = 0

    def take(self, text: str) -> None:
        """Read ``text``, whole lines."""
        self._first = self._first or text.partition("\n")[0]
        keys, lines = self._log.keys(text)
        self.keys.take(keys)
        self.lines += lines

    def finish(self) -> None:
        """Read what was held back, at the end.

        :raises ScenarioError: when there is no key.
        """
        keys, lines = self._log.rest()
        self.keys.take(keys)
        self.lines += lines
        if not self.keys:
            raise ScenarioError(
                f"{self._path}: no line is {self._log.expected}; the first is {shown(self._first)}"
            )
