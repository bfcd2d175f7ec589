"""Formats of logs, which find the key in each line: access log, one key a line, CSV, pattern."""

from __future__ import annotations

import csv
import re
import warnings
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from async_backfill._runner.history.time_limit import time_limit
from async_backfill._runner.wording import shown
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.rows import check_header

if TYPE_CHECKING:
    from collections.abc import Sequence

FormatName: TypeAlias = Literal["log", "keys", "csv"]

# Possessive quantifiers, so that the time for a line grows only with its length. The rest of the line is
# matched too, or each position in it would be tried as a new start.
_ACCESS: Final = re.compile(
    r"""^[^ \n]++\ [^ \n]++\ [^\[\n]++\[[^\]\n]++\]\              # host, identity, user, [time]
    "[A-Za-z-]++\ ([^ ?"\\\n]++(?:\\[^\n][^ ?"\\\n]*+)*+)       # "method path
    [^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"\ [0-9]{3}\ [0-9-][^\n]*+  # ?query protocol" status bytes
    """,
    re.MULTILINE | re.VERBOSE,
)
SECONDS_FOR_A_BLOCK: Final = 10.0
_ADVICE: Final = "repeat nothing that repeats itself, as in (a+)+, and write [^ ]+ rather than .*"
_LOOKED_AT: Final = 100
_LARGEST_ROW: Final = 1 << 20


class Format(Protocol):
    """A log format: finds the key in each line."""

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


class AccessLog:
    """The common or combined log format; the key is the path, without ``?`` and the query."""

    expected = "a line of the common or combined log format"

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the path of each request."""
        return _ACCESS.findall(text), len(lines_of(text))

    def rest(self) -> tuple[Sequence[str], int]:
        """Return nothing."""
        return (), 0


class KeyLines:
    """The format with one key a line."""

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


class Column:
    """The format of a CSV table with a header; the key is one column.

    :param name: the name of the file, for error messages.
    :param column: the name of the key column in the header.
    """

    expected = "a row as long as the header, with a key"

    def __init__(self, name: str, column: str) -> None:
        self._name = name
        self._column = column
        self._width = 0
        self._place = 0
        self._open = ""

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the key of each row.

        :raises ScenarioError: when the header does not have the column.
        """
        text = f"{self._open}\n{text}" if self._open else text
        # A line end inside quotes is part of a cell, and a block may end there.
        if text.count('"') % 2 and len(text) < _LARGEST_ROW * 2:
            self._open = text
            return (), 0
        self._open = ""
        return self._rows(text)

    def rest(self) -> tuple[Sequence[str], int]:
        """Return the same for a last row whose quotes were never closed."""
        text, self._open = self._open, ""
        return self._rows(text)

    def _rows(self, text: str) -> tuple[Sequence[str], int]:
        rows = csv.reader(f"{line}\n" for line in lines_of(text))
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
                if len(cells) == self._width and cells[self._place]:
                    keys.append(cells[self._place])
            else:
                check_header(self._name, 1, cells, [self._column])
                self._width, self._place = len(cells), cells.index(self._column)


def guess(name: str, text: str) -> Format:
    """Return the format of a file, guessed from its first lines.

    :param name: the name of the file, for error messages.
    :raises ScenarioError: when the lines fit no format.
    """
    lines = lines_of(text)[:_LOOKED_AT]
    if 2 * len(_ACCESS.findall("\n".join(lines))) > len(lines):
        return AccessLog()
    commas = {line.count(",") for line in lines}
    if not any(" " in line or "\t" in line for line in lines) and (commas == {0} or len(commas) > 1):
        return KeyLines()
    raise ScenarioError(
        f"{name}: cannot tell where the keys are: give --column for CSV, --pattern, or --format keys"
    )


def lines_of(text: str) -> list[str]:
    """Return the lines of ``text`` that are not empty."""
    return [line for line in text.replace("\r\n", "\n").removesuffix("\r").split("\n") if line]
