"""Read a cache trace that is a table: libCacheSim's CSV, and tables whose columns a scenario names."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill._runner.logs.formats import QuotedText, lines_of
from async_backfill._runner.scenario.trace_file import MOST_BYTES, Trace
from async_backfill._runner.wording import shown
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.delimiters import delimiter_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from async_backfill._runner.scenario.model import KeyFile

_KEYS: Final = ("obj_id", "obj-id", "object_id", "object", "obj", "lbn", "id", "key")
_TIMES: Final = ("time", "timestamp", "real_time", "clock_time")
_SIZES: Final = ("size", "obj_size", "obj-size", "object_size")
_TTLS: Final = ("ttl",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    key: int
    time: int | None
    size: int | None
    ttl: int | None


def trace_table(path: Path, start: str, spec: KeyFile) -> TraceTable | None:
    """Return a reader of the table at ``path`` with the columns that ``spec`` names, or libCacheSim's names.

    :param start: its first lines.
    :return: ``None`` when it is no such table.
    :raises ScenarioError: when a column is not there.
    """
    lines = lines_of(start)
    delimiter = delimiter_of(lines[:100])
    if delimiter is None:
        return None
    rows = csv.reader(lines, delimiter=delimiter)
    head = next((cells for cells in rows if cells and not cells[0].startswith("sep=")), [])
    names = [cell.strip().removeprefix("#").strip() for cell in head]
    is_told = any(each is not None for each in (spec.time, spec.size, spec.ttl))
    columns = _columns(path, names, spec) if is_told else _known(names)
    if columns is None:
        return None
    has_header = any(name in names for name in (spec.column, *_TIMES))
    return TraceTable(path, columns, delimiter, skips=rows.line_num if has_header else 0)


class TraceTable:
    """A trace that is a table.

    :param skips: the number of lines before the first row.
    """

    def __init__(self, path: Path, columns: _Columns, delimiter: str, *, skips: int) -> None:
        self._path = path
        self._columns = columns
        self._delimiter = delimiter
        self._skips = skips
        self._names = [name for name in ("time", "size", "ttl") if getattr(columns, name) is not None]
        self._number = skips
        self._quoted = QuotedText()
        self.trace = Trace(description=f"table with a key, {', '.join(self._names)} in each row")

    def take(self, text: str) -> None:
        """Read ``text``, whole lines.

        :raises ScenarioError: when a row is too short, or a cell that has a number has none.
        """
        lines = lines_of(self._quoted.whole(text))
        begin, self._skips = self._skips, max(0, self._skips - len(lines))
        self._read(lines[begin:])

    def finish(self) -> None:
        """Read what was held back, at the end."""
        self._read(lines_of(self._quoted.rest()))

    def _read(self, lines: Sequence[str]) -> None:
        trace, columns = self.trace, self._columns
        keys: list[str] = []
        for cells in csv.reader((f"{line}\n" for line in lines), delimiter=self._delimiter):
            self._number += 1
            trace.lines += 1
            try:
                key = cells[columns.key]
                if columns.time is not None:
                    trace.times.append(_number(cells[columns.time]))
                if columns.size is not None:
                    trace.sizes.append(_size(cells[columns.size]))
                if columns.ttl is not None:
                    trace.ttls.append(_number(cells[columns.ttl] or "0"))
            except IndexError:
                raise ScenarioError(
                    f"{self._path}:{self._number}: the row has {len(cells)} cells, too few"
                ) from None
            except ValueError as error:
                expected = f"expected numbers in {', '.join(self._names)}"
                raise ScenarioError(f"{self._path}:{self._number}: {error}, {expected}") from None
            keys.append(key)
        trace.keys.take(keys)


def _known(head: Sequence[str]) -> _Columns | None:
    key, time = _first(head, _KEYS), _first(head, _TIMES)
    if key is None or time is None:
        return None
    return _Columns(key=key, time=time, size=_first(head, _SIZES), ttl=_first(head, _TTLS))


def _first(head: Sequence[str], names: Sequence[str]) -> int | None:
    lower = [cell.lower() for cell in head]
    return next((lower.index(name) for name in names if name in lower), None)


def _columns(path: Path, head: Sequence[str], spec: KeyFile) -> _Columns:
    if spec.column is None:
        raise ScenarioError(f"{path}: time, size and ttl need column, the key's of the table")
    places = {
        name: None if column is None else _place(path, head, column)
        for name, column in (("time", spec.time), ("size", spec.size), ("ttl", spec.ttl))
    }
    return _Columns(key=_place(path, head, spec.column), **places)


def _place(path: Path, head: Sequence[str], column: str) -> int:
    if column in head:
        return head.index(column)
    if column.isdecimal() and 1 <= int(column) <= len(head):
        return int(column) - 1
    raise ScenarioError(f"{path}: has no column {shown(column)}, its first row is {', '.join(head[:8])}")


def _number(text: str) -> float:
    number = float(text)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{shown(text)} is not 0 or more")
    return number


def _size(text: str) -> int:
    size = int(text)
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"{shown(text)} is no size, 0 to {MOST_BYTES:,} bytes")
    return size
