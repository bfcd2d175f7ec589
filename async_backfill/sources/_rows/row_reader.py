"""Readers for CSV and for JSON lines, which tell the byte position of each row."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TypeAlias

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.binary import BINARY_SIZE, refuse_binary
from async_backfill.sources._rows.delimiters import TableStart
from async_backfill.sources._rows.json_array import is_json_array
from async_backfill.sources._rows.rows import check_header, csv_refusal, json_row, width_refusal
from async_backfill.sources._rows.text_lines import TextLines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill.sources._rows.row_parts import Columns
from async_backfill.sources._rows.rows import AnyPath

_BOM: Final = b"\xef\xbb\xbf"
_PIECE: Final = 1 << 16


class Row(NamedTuple):
    """A row: its start and end in bytes, its line number from 1, the content of its key column, its cells.

    The reader's ``named`` makes columns of the cells.
    """

    start: int
    end: int
    line: int
    key: Any
    cells: Any


class JsonLines:
    """A reader for JSON lines: one object a line; blank lines are allowed.

    ``first`` and ``first_line`` are the byte and the line of the first row; ``typed`` says whether columns
    have types other than text.

    :param wanted: the columns that each row must have, the key column first.
    :param longest: the largest allowed size of a row, in bytes.
    """

    def __init__(self, path: AnyPath, wanted: Sequence[str], longest: int, *, first: int) -> None:
        self._path = path
        self._wanted = wanted
        self._longest = longest
        self.first = first
        self.first_line = 1
        self.typed = True

    def rows(self, file: BinaryIO, start: int, line: int = 1) -> Iterator[Row]:
        """Yield the rows of ``file`` from byte ``start`` on, which is in line ``line``.

        :raises ScenarioError: for the first row that is wrong; names the file and the line.
        """
        file.seek(start)
        lines = TextLines(self._path, file, self._longest, position=start, line=line)
        key = self._wanted[0]
        for text in lines:
            if text.strip():
                columns = json_row(self._path, lines.line - 1, text, self._wanted)
                yield Row(lines.row_start, lines.position, lines.line - 1, columns[key], columns)
            lines.row_start = lines.position

    def columns(self, content: bytes) -> Columns:
        """Return the columns of one row, parsed from the bytes between its start and its end.

        :raises ScenarioError: when they are not a row; lines are counted from its start.
        """
        text = next(TextLines(self._path, io.BytesIO(content), self._longest, position=0, line=1), "")
        return json_row(self._path, 1, text, self._wanted)

    def named(self, cells: Columns) -> Columns:
        """Return the columns of the ``cells`` of a row."""
        return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of a table, and what separates them.

    ``fills``
        whether the last cells of a row may be missing, which are empty then.
    """

    columns: Sequence[str]
    delimiter: str
    fills: bool = False


class CsvLines:
    """A reader for CSV (RFC 4180) with any delimiter; blank lines are allowed, and line ends in quotes.

    All columns are text. A column may have `csv.field_size_limit` characters. ``first`` and
    ``first_line`` are the byte and the line of the first row; ``typed`` says whether columns have types
    other than text.

    :param layout: the columns and what separates them.
    :param longest: the largest allowed size of a row, in bytes.
    """

    def __init__(
        self, path: AnyPath, layout: Layout, key: str, longest: int, *, first: int, first_line: int
    ) -> None:
        self._path = path
        self._layout = layout
        self._header = layout.columns
        self._key = layout.columns.index(key)
        self._longest = longest
        self.first = first
        self.first_line = first_line
        self.typed = False

    def rows(self, file: BinaryIO, start: int, line: int = 1) -> Iterator[Row]:
        """Yield the rows of ``file`` from byte ``start`` on, which is in line ``line``.

        :raises ScenarioError: for the first row that is wrong; names the file and the line.
        """
        file.seek(start)
        width = len(self._header)
        number = line
        lines = TextLines(self._path, file, self._longest, position=start, line=line)
        for cells in _records(self._path, lines, self._layout):
            if len(cells) == width:
                yield Row(lines.row_start, lines.position, number, cells[self._key], cells)
            elif cells:
                raise width_refusal(self._path, number, len(cells), width)
            number = lines.line
            lines.row_start = lines.position

    def columns(self, content: bytes) -> Columns:
        """Return the columns of one row, parsed from the bytes between its start and its end.

        :raises ScenarioError: when they are not a row; lines are counted from its start.
        """
        lines = TextLines(self._path, io.BytesIO(content), self._longest, position=0, line=1)
        cells = next(_records(self._path, lines, self._layout), [])
        if len(cells) != len(self._header):
            raise width_refusal(self._path, 1, len(cells), len(self._header))
        return self.named(cells)

    def named(self, cells: Sequence[str]) -> Columns:
        """Return the columns of the ``cells`` of a row."""
        return dict(zip(self._header, cells, strict=True))


RowReader: TypeAlias = JsonLines | CsvLines


def row_reader(
    path: AnyPath, file: BinaryIO, wanted: Sequence[str], longest: int, columns: Sequence[str] | None = None
) -> RowReader:
    """Return a reader for the format of ``file``, which shows in its content.

    A file whose first character, after blanks, is ``{`` is JSON lines; any other is CSV.

    :param columns: the names of the columns of a table without a header.
    :raises ScenarioError: when the file is empty or no table, or its header is wrong; names the file.
    """
    file.seek(0)
    begin = file.read(BINARY_SIZE)
    refuse_binary(path, begin)
    start = len(_BOM) if begin.startswith(_BOM) else 0
    file.seek(start)
    while piece := file.read(_PIECE):
        if begin := piece.lstrip()[:_PIECE]:
            if begin.startswith(b"{"):
                if columns is not None:
                    raise ScenarioError(f"{path}: is JSON, which names its columns itself: leave out columns")
                return JsonLines(path, wanted, longest, first=start)
            if is_json_array(begin.decode("utf-8", "replace")):
                advice = "kind = \"table\" reads it, or jq -c '.[]' makes lines of it"
                raise ScenarioError(f"{path}: is a JSON array, expected one object a line: {advice}")
            break
    return _csv_lines(path, file, start, wanted, longest, columns)


def _csv_lines(
    path: AnyPath,
    file: BinaryIO,
    start: int,
    wanted: Sequence[str],
    longest: int,
    columns: Sequence[str] | None,
) -> CsvLines:
    file.seek(start)
    lines = TextLines(path, file, longest, position=start, line=1)
    table = TableStart(wanted, columns)
    begin, number = start, 1
    for text in lines:
        if (delimiter := table.delimiter(text)) is not None:
            break
        begin, number = lines.position, lines.line
        lines.row_start = begin
    else:
        raise ScenarioError(f"{path}:1: empty, expected CSV with a header, or JSON lines")
    if columns is not None:
        check_header(path, number, columns, wanted)
        layout = Layout(columns=columns, delimiter=delimiter, fills=True)
        return CsvLines(path, layout, wanted[0], longest, first=begin, first_line=number)
    file.seek(begin)
    lines = TextLines(path, file, longest, position=begin, line=number)
    header = next(_records(path, lines, Layout(columns=(), delimiter=delimiter)), [])
    check_header(path, number, header, wanted)
    layout = Layout(columns=header, delimiter=delimiter)
    return CsvLines(path, layout, wanted[0], longest, first=lines.position, first_line=lines.line)


def _records(path: AnyPath, lines: TextLines, layout: Layout) -> Iterator[list[str]]:
    """Yield the cells of each CSV record; a line is read only when it is needed, so positions are exact."""
    line = lines.line
    width = len(layout.columns)
    try:
        for cells in csv.reader(lines, delimiter=layout.delimiter, strict=True):
            if layout.fills and cells:
                cells.extend([""] * (width - len(cells)))
            yield cells
            line = lines.line
    except csv.Error as error:
        raise csv_refusal(path, line, error) from error
