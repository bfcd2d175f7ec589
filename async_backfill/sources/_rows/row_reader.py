"""Readers for CSV with a header and for JSON lines, which tell the byte position of each row."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TypeAlias

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.rows import check_header, json_row, width_refusal

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


class _Lines:
    """An iterator over the lines of a file as text, which knows its position.

    ``position`` and ``line`` are the byte and the number of the next line. The row that starts at
    ``row_start`` may have up to ``longest`` bytes.
    """

    def __init__(self, path: AnyPath, file: BinaryIO, longest: int, *, position: int, line: int) -> None:
        self._path = path
        self._file = file
        self._longest = longest
        self.position = position
        self.row_start = position
        self.line = line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        content = self._file.readline(self._longest + 1)
        if not content:
            raise StopIteration
        length = len(content)
        if self.position + length - self.row_start > self._longest:
            raise ScenarioError(
                f"{self._path}:{self.line}: the row is longer than max_line={self._longest} bytes"
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_text(self._path, self.line, self.position, content, error) from error
        self.position += length
        self.line += 1
        return text


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
        lines = _Lines(self._path, file, self._longest, position=start, line=line)
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
        text = next(_Lines(self._path, io.BytesIO(content), self._longest, position=0, line=1), "")
        return json_row(self._path, 1, text, self._wanted)

    def named(self, cells: Columns) -> Columns:
        """Return the columns of the ``cells`` of a row."""
        return cells


class CsvLines:
    """A reader for CSV (RFC 4180) with a header; blank lines are allowed, and line ends in quotes.

    All columns are text. A column may have `csv.field_size_limit` characters. ``first`` and
    ``first_line`` are the byte and the line of the first row; ``typed`` says whether columns have types
    other than text.

    :param longest: the largest allowed size of a row, in bytes.
    """

    def __init__(
        self, path: AnyPath, header: Sequence[str], key: str, longest: int, *, first: int, first_line: int
    ) -> None:
        self._path = path
        self._header = header
        self._key = header.index(key)
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
        lines = _Lines(self._path, file, self._longest, position=start, line=line)
        for cells in _records(self._path, lines):
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
        lines = _Lines(self._path, io.BytesIO(content), self._longest, position=0, line=1)
        cells = next(_records(self._path, lines), [])
        if len(cells) != len(self._header):
            raise width_refusal(self._path, 1, len(cells), len(self._header))
        return self.named(cells)

    def named(self, cells: Sequence[str]) -> Columns:
        """Return the columns of the ``cells`` of a row."""
        return dict(zip(self._header, cells, strict=True))


RowReader: TypeAlias = JsonLines | CsvLines


def row_reader(path: AnyPath, file: BinaryIO, wanted: Sequence[str], longest: int) -> RowReader:
    """Return a reader for the format of ``file``, which shows in its content.

    A file whose first character, after blanks, is ``{`` is JSON lines; any other is CSV with a header.

    :raises ScenarioError: when the file is empty, or its header is wrong; names the file and the line.
    """
    file.seek(0)
    start = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    file.seek(start)
    while piece := file.read(_PIECE):
        if begin := piece.lstrip()[:1]:
            if begin == b"{":
                return JsonLines(path, wanted, longest, first=start)
            break
    file.seek(start)
    lines = _Lines(path, file, longest, position=start, line=1)
    number = 1
    for header in _records(path, lines):
        if header:
            check_header(path, number, header, wanted)
            return CsvLines(path, header, wanted[0], longest, first=lines.position, first_line=lines.line)
        number = lines.line
        lines.row_start = lines.position
    raise ScenarioError(f"{path}:1: empty, expected CSV with a header, or JSON lines")


def _records(path: AnyPath, lines: _Lines) -> Iterator[list[str]]:
    """Yield the cells of each CSV record; a line is read only when it is needed, so positions are exact."""
    line = lines.line
    try:
        for cells in csv.reader(lines, strict=True):
            yield cells
            line = lines.line
    except csv.Error as error:
        problem = str(error)
        if problem.startswith("new-line character"):
            problem = "a line that ends with CR alone, expected LF or CRLF"
        raise ScenarioError(f"{path}:{line}: not CSV: {problem}") from error


def _not_text(
    path: AnyPath, line: int, position: int, content: bytes, error: UnicodeDecodeError
) -> ScenarioError:
    wrong = content[error.start]
    place = position + error.start
    return ScenarioError(f"{path}:{line}: not UTF-8 text: byte {place} is 0x{wrong:02x}")
