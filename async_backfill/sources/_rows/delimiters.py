"""Find out what separates the cells of a table, and where its rows begin."""

from __future__ import annotations

import csv
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

WORDS: Final = MappingProxyType({",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"})
"""The delimiters of tables, in words."""

_SEP: Final = "sep="
_COMMENT: Final = "#"


def delimiter_of(lines: Sequence[str]) -> str | None:
    """Return the delimiter of the table that begins with ``lines``, or ``None`` when they are no table."""
    if lines and (said := _said(lines[0])) is not None:
        return said
    rows = [line for line in lines if not line.startswith(_COMMENT)]
    best: tuple[bool, int] = (False, 1)
    chosen = None
    for delimiter in WORDS:
        widths = [len(cells) for cells in cells_of(rows, delimiter)]
        if widths and min(widths) > 1:
            found = (min(widths) == max(widths), min(widths))
            if found > best:
                best, chosen = found, delimiter
    return chosen


def cells_of(rows: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of each of ``rows``, or nothing when they are no rows."""
    try:
        return list(csv.reader(rows, delimiter=delimiter))
    except csv.Error:
        return []


class TableStart:
    """Finds the first row of a table, below blank lines, comments (``#``) and a line such as ``sep=;``.

    A line that begins with ``#`` is the header when one of its cells is the key column.

    :param wanted: the columns that the table must have, the key column first.
    :param columns: the names of the columns of a table without a header.
    """

    def __init__(self, wanted: Sequence[str], columns: Sequence[str] | None = None) -> None:
        self._wanted = wanted
        self._columns = columns
        self._said: str | None = None
        self._has_begun = False

    def delimiter(self, line: str) -> str | None:
        """Return the delimiter of the table when ``line``, the next one, is its first row, else ``None``."""
        row = line.rstrip("\r\n")
        if not row:
            return None
        is_first, self._has_begun = not self._has_begun, True
        if is_first and (said := _said(row)) is not None:
            self._said = said
            return None
        found = self._fitting(row)
        if row.startswith(_COMMENT) and (found is None or self._columns is not None):
            return None
        return self._said or found or delimiter_of([row]) or ","

    def _fitting(self, row: str) -> str | None:
        """Return the first delimiter with which ``row`` has the columns that are wanted."""
        known = "," if self._columns is not None and len(self._columns) == 1 else WORDS  # any other fits
        for delimiter in known if self._said is None else (self._said,):
            if any(map(self._fits, cells_of([row], delimiter))):
                return delimiter
        return None

    def _fits(self, cells: Collection[str]) -> bool:
        if self._columns is not None:
            return len(cells) == len(self._columns)
        return all(name in cells for name in self._wanted)


def _said(line: str) -> str | None:
    """Return the delimiter that ``line`` states, as Excel writes it."""
    line = line.strip('"\r\n') if line[:1] == '"' else line
    if line.startswith(_SEP) and len(line.rstrip("\r")) == len(_SEP) + 1 and line[-1] not in "\r\n":
        return line[len(_SEP)]
    return None
