"""Read a table or a list of keys from a file into memory: CSV, JSON lines or plain lines, also gzip.

The format is recognised by the content of a file, never by its name. Reading goes through aiofiles and
parsing through a worker thread, so a large table does not block the event loop.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from typing import TYPE_CHECKING, Any, Final

import aiofiles
from anyio import to_thread

from async_backfill._common.atomic_file import reason
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.row_parts import KeyType
from async_backfill.sources._rows.rows import check_header, json_row, repeated_key, shown, width_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill.sources._rows.rows import AnyPath

GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = "\ufeff"
MOST_UNPACKED: Final = 1 << 28
_PIECE: Final = 1 << 18


async def read_text(path: AnyPath) -> str:
    """Return the text of a UTF-8 file, unpacked when it is gzip, without a byte order mark.

    :raises ScenarioError: when it cannot be read, unpacked or decoded, or unpacks to more than 256 MiB; names
        the file, and the line and byte of a decoding error.
    """
    return await to_thread.run_sync(text_of, path, await _read_bytes(path))


async def read_content(path: AnyPath) -> bytes:
    """Return the content of a file of any kind, unpacked when it is gzip.

    :raises ScenarioError: when it cannot be read or unpacked, or unpacks to more than 256 MiB.
    """
    return await to_thread.run_sync(_content_of, path, await _read_bytes(path))


async def read_keys(path: AnyPath) -> list[str]:
    """Return the keys of a file with one key a line, in the order of the file, repeats included.

    Blank lines are allowed at the end only, where an editor leaves them: one in between would be
    a lost lookup.

    :raises ScenarioError: as `read_text`, and for a blank line in between.
    """
    return keys_of(path, await read_text(path))


def keys_of(path: AnyPath, text: str) -> list[str]:
    """Return the keys in ``text``, one a line, which is the content of ``path``.

    :raises ScenarioError: for a blank line in between.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise ScenarioError(f"{path}:{lines.index('') + 1}: the line is blank, expected a key")
    return lines


async def read_table(
    path: AnyPath, *, key: str, value: str | None = None, key_type: type[Any] | None = None
) -> dict[Any, Any]:
    """Return a table as a mapping by its ``key`` column, in the order of its rows.

    A file whose first character is ``{`` holds JSON lines, any other is CSV with a header. In CSV
    every value is text.

    :param key: the column that identifies a row, different in each row.
    :param value: the column that becomes the value; ``None`` makes it a dict of all other columns.
    :param key_type: the class of the keys, as in `async_backfill.sources.file.FileSource`; ``None`` takes
        that of the first row: text or a whole number in JSON lines, text in CSV.
    :raises ScenarioError: when the file is not such a table; names the file and the line.
    """
    keys = KeyType.given(key_type)
    return await to_thread.run_sync(_table, path, await _read_bytes(path), key, value, keys)


async def _read_bytes(path: AnyPath) -> bytes:
    try:
        async with aiofiles.open(path, "rb") as file:
            return await file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise refusal(path, error) from error


def refusal(path: AnyPath, error: OSError | ValueError) -> ScenarioError:
    """Return the `ScenarioError` for ``error``, which was raised when ``path`` was read."""
    return ScenarioError(f"{path}: cannot be read: {reason(error)}")


def text_of(path: AnyPath, content: bytes) -> str:
    """Return the text in ``content``, which was read from ``path``; raises as `read_text`."""
    content = _content_of(path, content)
    try:
        return content.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise ScenarioError(f"{path}:{line}: not UTF-8 text: byte {error.start} is 0x{wrong:02x}") from error


def _content_of(path: AnyPath, content: bytes) -> bytes:
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return _unpacked(path, content)
    except (OSError, EOFError, zlib.error) as error:
        raise ScenarioError(f"{path}: the gzip data is cut off or damaged: {error}") from error


def _unpacked(path: AnyPath, content: bytes) -> bytes:
    """Unpack gzip, which may be a thousand times smaller than its content, into bounded memory."""
    unpacked = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
        while piece := packed.read(_PIECE):
            unpacked += piece
            if len(unpacked) > MOST_UNPACKED:
                most = f"{MOST_UNPACKED:,} bytes"
                raise ScenarioError(f"{path}: unpacks to more than {most}, which must fit into memory")
    return bytes(unpacked)


def _table(
    path: AnyPath, content: bytes, key: str, value: str | None, keys: KeyType | None
) -> dict[Any, Any]:
    text = text_of(path, content)
    wanted = [key] if value is None else [key, value]
    is_typed = text.lstrip().startswith("{")
    rows = (_json_rows if is_typed else _csv_rows)(path, text, wanted)
    table: dict[Any, Any] = {}
    lines: dict[Any, int] = {}
    for line, row in rows:
        said = row[key]
        keys = keys or KeyType.of_first(said)
        name = keys.of_value(said) if is_typed else keys.of_text(said)
        if name is None:
            expected = keys.expected(said if is_typed else None)
            raise ScenarioError(
                f"{path}:{line}: {shown(key)} is {shown(said)}, expected a key that is {expected}"
            )
        if name in lines:
            raise repeated_key(path, line, name, lines[name])
        lines[name] = line
        if value is not None:
            table[name] = row[value]
        else:
            del row[key]
            table[name] = row
    return table


def _csv_rows(path: AnyPath, text: str, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None and cells:
                header = cells
                check_header(path, line, header, wanted)
            elif header is not None and len(cells) == len(header):
                yield line, dict(zip(header, cells, strict=True))
            elif cells:
                raise width_refusal(path, line, len(cells), len(header or ()))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ScenarioError(f"{path}:{line}: not CSV: {error}") from error
    if header is None:
        raise ScenarioError(f"{path}:1: empty, expected CSV with a header, or JSON lines")


def _json_rows(path: AnyPath, text: str, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row_text in enumerate(text.split("\n"), start=1):
        if row_text.strip():
            yield line, json_row(path, line, row_text, wanted)
