"""Formats of files, which find the key in each line: one key a line, a table, a pattern."""

from __future__ import annotations

import csv
import re
import warnings
from typing import TYPE_CHECKING, Final, Protocol

from async_backfill._runner.logs.time_limit import time_limit
from async_backfill._runner.wording import shown
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.delimiters import WORDS
from async_backfill.sources._rows.rows import check_header

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS_FOR_A_BLOCK: Final = 10.0
_ADVICE: Final = "repeat nothing that repeats itself, as in (a+)+, and write [^ ]+ rather than .*"
_LARGEST_ROW: Final = 1 << 20


class Format(Protocol):
    """A log format: finds the key in each line."""

    @property
    def description(self) -> str:
        """What the file is taken for, and what the key is, in words."""
        ...

    @property
    def expected(self) -> str:
        """The description of a line, for error messages."""
        ...

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the keys in ``text``, which is whole lines, and the number of lines that were read.

        Empty lines do not count. Some lines may wait for the next call.
        """
        ...

    def rest(self) -> tuple[Sequence[str], int]:
        """Return the same for the lines that still wait, at the end."""
        ...


class KeyLines:
    """The format with one key a line."""

    description = "one key a line"
    expected = "a key"

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the lines."""
        lines = lines_of(text)
        return lines, len(lines)

    def rest(self) -> tuple[Sequence[str], int]:
        """Return nothing."""
        return (), 0


class Matches:
    """The format given by a pattern; the key is its group at the first match in the line.

    A search may take exponential time; when a block of at most a MiB takes more than 10 seconds it is ended.

    :param pattern: a regular expression with one group, or with a group named ``key``.
    :raises ConfigurationError: for any other pattern, and from `keys` for one that takes too long.
    """

    description = "lines, key: what --pattern matches"
    expected = "one that --pattern matches"

    def __init__(self, pattern: str) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about syntax that a later Python may read differently
                compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigurationError("pattern", f"is not a regular expression: {error}") from error
        if "key" not in compiled.groupindex and compiled.groups != 1:
            problem = f"has {compiled.groups} groups, expected one, or one named key: (?P<key>...)"
            raise ConfigurationError("pattern", problem)
        self._search = compiled.search
        self._group = "key" if "key" in compiled.groupindex else 1

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the key of each line that matches."""
        search, group = self._search, self._group
        lines = lines_of(text)
        matches: list[str | None] = []
        try:
            with time_limit(SECONDS_FOR_A_BLOCK):
                matches.extend(None if (match := search(line)) is None else match[group] for line in lines)
        except TimeoutError:
            slow = shown(lines[len(matches)])
            problem = (
                f"takes more than {SECONDS_FOR_A_BLOCK:g} s for a MiB of lines, and is at {slow}: {_ADVICE}"
            )
            raise ConfigurationError("pattern", problem) from None
        return [key for key in matches if key], len(lines)

    def rest(self) -> tuple[Sequence[str], int]:
        """Return nothing."""
        return (), 0


class QuotedText:
    """Blocks of a table, held back where one ends inside quotes: a line end there is part of a cell."""

    def __init__(self) -> None:
        self._open = ""

    def whole(self, text: str) -> str:
        """Return ``text`` with what was held back before it, or an empty text when it is held back too."""
        text = f"{self._open}\n{text}" if self._open else text
        self._open = text if text.count('"') % 2 and len(text) < _LARGEST_ROW * 2 else ""
        return "" if self._open else text

    def rest(self) -> str:
        """Return what is held back, at the end."""
        text, self._open = self._open, ""
        return text


class Column:
    """The format of a table whose cells are separated by ``delimiter``; the key is one column.

    Lines that begin with ``#`` before the first row are comments.

    :param name: the name of the file, for error messages.
    :param column: the name of the key column in the header; or its number from 1, for a table without one.
    """

    expected = "a row with as many cells as the others, with a key"

    def __init__(self, name: str, column: str, delimiter: str = ",") -> None:
        self._name = name
        self._column = column
        self._delimiter = delimiter
        self._width = 0
        self._place = 0
        self._has_header = True
        self._quoted = QuotedText()
        self.description = f"table with {WORDS.get(delimiter, delimiter)}, key: the column {column}"

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the key of each row.

        :raises ScenarioError: when the header does not have the column.
        """
        return self._rows(self._quoted.whole(text))

    def rest(self) -> tuple[Sequence[str], int]:
        """Return the same for a last row whose quotes were never closed."""
        return self._rows(self._quoted.rest())

    def _rows(self, text: str) -> tuple[Sequence[str], int]:
        rows = csv.reader((f"{line}\n" for line in lines_of(text)), delimiter=self._delimiter)
        keys: list[str] = []
        count = 0
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return keys, count
            except csv.Error:  # such as a cell of more than 128 KiB; the reader goes on after it
                cells = []
            if self._width:
                count += 1
                if self._fits(cells) and cells[self._place]:
                    keys.append(cells[self._place])
            elif cells and not cells[0].startswith(("#", "sep=")) and self._begin(cells):
                count += 1
                keys.extend(filter(None, cells[self._place : self._place + 1]))

    def _fits(self, cells: Sequence[str]) -> bool:
        """Return whether a row is whole; without a header its last cells may be missing."""
        return len(cells) == self._width if self._has_header else len(cells) > self._place

    def _begin(self, cells: Sequence[str]) -> bool:
        """Take the first row; return whether it is a row, and not the header."""
        if self._column not in cells and self._column.isdecimal():
            self._place = int(self._column) - 1
            if not 0 <= self._place < len(cells):
                raise ScenarioError(
                    f"{self._name}: has {len(cells)} columns, there is none of number {self._column}"
                )
            self._width, self._has_header = len(cells), False
            return True
        check_header(self._name, 1, cells, [self._column])
        self._width, self._place = len(cells), cells.index(self._column)
        return False


def lines_of(text: str) -> list[str]:
    """Return the lines of ``text`` that are not empty."""
    return [line for line in text.replace("\r\n", "\n").removesuffix("\r").split("\n") if line]
