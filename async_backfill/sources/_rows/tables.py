"""Read a table or a list of keys from a file into memory: CSV, JSON or plain lines, also packed.

The format is recognised by the content of a file, never by its name. Reading and parsing go through worker
threads, so a large table does not block the event loop.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from anyio import to_thread

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.binary import BINARY_SIZE, refuse_binary, refuse_zeros
from async_backfill.sources._rows.delimiters import TableStart
from async_backfill.sources._rows.json_array import array_rows, is_json_array
from async_backfill.sources._rows.packed import MAGIC_SIZE, Unpacking, packing_of
from async_backfill.sources._rows.reading import MOST_READ, read_bytes
from async_backfill.sources._rows.row_parts import KeyType
from async_backfill.sources._rows.rows import (
    check_header,
    csv_refusal,
    json_row,
    repeated_key,
    shown,
    width_refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill.sources._rows.rows import AnyPath

BOM: Final = "\ufeff"
MOST_UNPACKED: Final = 1 << 28
_PIECE: Final = 1 << 18
_EMPTY: Final = "empty, expected CSV with a header, or JSON lines"

Duplicates: TypeAlias = Literal["refuse", "first", "last"]
DUPLICATES: Final = ("refuse", "first", "last")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRules:
    """How a table is read, beside its key and its value.

    ``columns``
        the names of the columns of a table without a header; the last cells of a row may be missing then.
    ``duplicates``
        what to do with a key that appears twice: refuse the table, or keep the first or the last row.
    """

    columns: Sequence[str] | None = None
    duplicates: Duplicates = "refuse"


async def read_text(path: AnyPath, most: int = MOST_READ) -> str:
    """Return the text of a UTF-8 file, unpacked when it is packed, without a byte order mark.

    :param most: the largest allowed size of the file, in bytes.
    :raises ScenarioError: when it cannot be read, unpacked or decoded, or unpacks to more than 256 MiB; names
        the file, and the line and byte of a decoding error.
    """
    return await to_thread.run_sync(text_of, path, await read_bytes(path, most))


async def read_table(
    path: AnyPath,
    *,
    key: str,
    value: str | None = None,
    key_type: type[Any] | None = None,
    rules: TableRules | None = None,
) -> dict[Any, Any]:
    """Return a table as a mapping by its ``key`` column, in the order of its rows.

    A file whose first character is ``{`` holds JSON lines, one that begins with ``[`` and an object a JSON
    array; any other is CSV, with commas, semicolons, tabs or bars. In CSV every value is text.

    :param key: the column that identifies a row, different in each row.
    :param value: the column that becomes the value; ``None`` makes it a dict of all other columns.
    :param key_type: the class of the keys, as in `async_backfill.sources.file.FileSource`; ``None`` takes
        that of the first row: text or a whole number in JSON lines, text in CSV.
    :raises ScenarioError: when the file is not such a table; names the file and the line.
    """
    columns = _Columns(key, value, KeyType.given(key_type))
    return await to_thread.run_sync(
        _table, path, await read_bytes(path), columns, TableRules() if rules is None else rules
    )


def text_of(path: AnyPath, content: bytes) -> str:
    """Return the text in ``content``, which was read from ``path``; raises as `read_text`."""
    if (packing := packing_of(content[:MAGIC_SIZE])) is not None:
        content = _unpacked(path, content, packing)
    refuse_binary(path, content[:BINARY_SIZE])
    try:
        return content.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise ScenarioError(f"{path}:{line}: not UTF-8 text: byte {error.start} is 0x{wrong:02x}") from error


def check_unpacked(path: AnyPath, size: int) -> None:
    """Check the ``size`` in bytes of what a packed file has unpacked to so far.

    :raises ScenarioError: when it is more than `MOST_UNPACKED`.
    """
    if size > MOST_UNPACKED:
        most = f"{MOST_UNPACKED:,} bytes"
        raise ScenarioError(f"{path}: unpacks to more than {most}, which must fit into memory")


def _unpacked(path: AnyPath, content: bytes, packing: str) -> bytes:
    """Unpack what may be a thousand times smaller than its content, into bounded memory."""
    unpacking = Unpacking(path, packing)
    unpacked = bytearray()
    for start in range(0, len(content), _PIECE):
        for piece in unpacking.feed(content[start : start + _PIECE]):
            if not unpacked:
                refuse_binary(path, piece[:BINARY_SIZE])
            refuse_zeros(path, piece)
            unpacked += piece
            check_unpacked(path, len(unpacked))
    unpacking.finish()
    return bytes(unpacked)


@dataclass(frozen=True, slots=True)
class _Columns:
    key: str
    value: str | None
    keys: KeyType | None

    @property
    def wanted(self) -> list[str]:
        return [self.key] if self.value is None else [self.key, self.value]


def _table(path: AnyPath, content: bytes, columns: _Columns, rules: TableRules) -> dict[Any, Any]:
    text = text_of(path, content)
    key, value = columns.key, columns.value
    table: dict[Any, Any] = {}
    for line, name, row in _keyed(path, text, columns, rules):
        if name in table:
            if rules.duplicates == "refuse":
                earlier = (at for at, other, _ in _keyed(path, text, columns, rules) if other == name)
                raise repeated_key(path, line, name, next(earlier))
            if rules.duplicates == "first":
                continue
            del table[name]  # the last row is where the key stands, as in a file that stays on disk
        if value is not None:
            table[name] = row[value]
        else:
            del row[key]
            table[name] = row
    return table


def _keyed(
    path: AnyPath, text: str, columns: _Columns, rules: TableRules
) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """Yield the line, the key and the columns of each row in ``text``."""
    key, keys = columns.key, columns.keys
    is_typed, rows = _rows(path, text, columns.wanted, rules.columns)
    for line, row in rows:
        said = row[key]
        keys = keys or KeyType.of_first(said)
        name = keys.of_value(said) if is_typed else keys.of_text(said)
        if name is None:
            expected = keys.expected(said if is_typed else None)
            raise ScenarioError(
                f"{path}:{line}: {shown(key)} is {shown(said)}, expected a key that is {expected}"
            )
        yield line, name, row


def _rows(
    path: AnyPath, text: str, wanted: Sequence[str], columns: Sequence[str] | None
) -> tuple[bool, Iterator[tuple[int, dict[str, Any]]]]:
    """Return whether the columns of the rows in ``text`` have types, and the rows with their lines."""
    is_array = is_json_array(text)
    if not is_array and not text.lstrip().startswith("{"):
        return False, _csv_rows(path, text, wanted, columns)
    if columns is not None:
        raise ScenarioError(f"{path}: is JSON, which names its columns itself: leave out columns")
    return True, (array_rows if is_array else _json_rows)(path, text, wanted)


def _csv_rows(
    path: AnyPath, text: str, wanted: Sequence[str], columns: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = io.TextIOWrapper(
        io.BytesIO(text.encode()), "utf-8", newline=""
    )  # a StringIO has 4 bytes a letter
    start = TableStart(wanted, columns)
    for above, first in enumerate(lines):  # noqa: B007 - it is the number of lines above the first row
        if (delimiter := start.delimiter(first)) is not None:
            break
    else:
        raise ScenarioError(f"{path}:1: {_EMPTY}")
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    line = above + 1
    header = columns
    if header is not None:
        check_header(path, line, header, wanted)
    try:
        for cells in reader:
            if header is None:
                header = cells
                check_header(path, line, header, wanted)
            elif cells:
                if columns is not None:
                    cells.extend([""] * (len(columns) - len(cells)))
                if len(cells) != len(header):
                    raise width_refusal(path, line, len(cells), len(header))
                yield line, dict(zip(header, cells, strict=True))
            line = above + reader.line_num + 1
    except csv.Error as error:
        raise csv_refusal(path, line, error) from error


def _json_rows(path: AnyPath, text: str, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row_text in enumerate(text.split("\n"), start=1):
        if row_text.strip():
            yield line, json_row(path, line, row_text, wanted)
