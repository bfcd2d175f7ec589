"""Tables and key lists in files: CSV, JSON lines and plain lines, as they are or packed with gzip.

What a file holds is told by its content, never by its name. Reading goes through aiofiles and
parsing through a worker thread, so a large table does not stop the event loop.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import math
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import aiofiles
from anyio import to_thread

from async_backfill.durable import reason
from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator, Sequence

GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = "\ufeff"
_DEEPEST: Final = 100
_LONGEST: Final = 100

AnyPath: TypeAlias = "str | os.PathLike[str]"


async def read_text(path: AnyPath) -> str:
    """Return the text of a UTF-8 file, unpacked when it is gzip, without a byte order mark.

    :raises ScenarioError: when it cannot be read, unpacked or decoded; names the file, and the line
        and byte where there is one.
    """
    return await to_thread.run_sync(_decoded, path, await _read_bytes(path))


async def read_keys(path: AnyPath) -> list[str]:
    """Return the keys of a file with one key a line, in their order, repeats included.

    Blank lines are allowed at the end only, where an editor leaves them: in between they would be
    a lookup that was lost.

    :raises ScenarioError: as `read_text`, and for a blank line in between.
    """
    lines = (await read_text(path)).replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise ScenarioError(f"{path}:{lines.index('') + 1}: a blank line, expected a key")
    return lines


async def read_table(path: AnyPath, *, key: str, value: str | None = None) -> dict[str, Any]:
    """Return a table as a mapping from its ``key`` column, in the order of its rows.

    A file whose first character is ``{`` holds JSON lines, any other is CSV with a header. In CSV
    every value is text.

    :param key: the column that identifies a row: text, not empty, and never the same twice.
    :param value: the column that becomes the value; ``None`` makes it a dict of all other columns.
    :raises ScenarioError: when the file cannot be read as such a table; names the file and the line.
    """
    return await to_thread.run_sync(_table, path, await _read_bytes(path), key, value)


async def _read_bytes(path: AnyPath) -> bytes:
    try:
        async with aiofiles.open(path, "rb") as file:
            return await file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise refusal(path, error) from error


def refusal(path: AnyPath, error: OSError | ValueError) -> ScenarioError:
    """Return what to raise when ``error`` kept ``path`` from being read."""
    return ScenarioError(f"{path}: cannot be read: {reason(error)}")


def _decoded(path: AnyPath, content: bytes) -> str:
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ScenarioError(f"{path}: gzip that is cut off or damaged: {error}") from error
    try:
        return content.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise ScenarioError(f"{path}:{line}: not UTF-8 text: byte {error.start} is 0x{wrong:02x}") from error


def _table(path: AnyPath, content: bytes, key: str, value: str | None) -> dict[str, Any]:
    text = _decoded(path, content)
    wanted = [key] if value is None else [key, value]
    rows = (_json_rows if text.lstrip().startswith("{") else _csv_rows)(path, text, wanted)
    table: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        name = row[key]
        if not isinstance(name, str) or not name:
            raise ScenarioError(
                f"{path}:{line}: {_shown(key)} is {_shown(name)}, expected a key that is text"
            )
        if name in lines:
            raise ScenarioError(
                f"{path}:{line}: the key {_shown(name)} is there twice, first in line {lines[name]}"
            )
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
                expected = f"expected {len(header or ())} as in the header"
                raise ScenarioError(f"{path}:{line}: {len(cells)} columns, {expected}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise ScenarioError(f"{path}:{line}: not CSV: {error}") from error
    if header is None:
        raise ScenarioError(f"{path}:1: empty, expected CSV with a header, or JSON lines")


def check_header(path: AnyPath, line: int, header: Sequence[str], wanted: Iterable[str]) -> None:
    """Make sure that ``header`` names each column once and has those that are ``wanted``.

    :raises ScenarioError: when not; names the file and the line.
    """
    if len(set(header)) < len(header):
        raise ScenarioError(f"{path}:{line}: the column {_shown(_repeated(header))} is there twice")
    _check_columns(path, line, header, wanted)


def _json_rows(path: AnyPath, text: str, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row_text in enumerate(text.split("\n"), start=1):
        if not row_text.strip():
            continue
        try:
            row = _json_row(row_text)
        except json.JSONDecodeError as error:
            raise ScenarioError(f"{path}:{line}:{error.colno}: not JSON: {error.msg}") from error
        except ValueError as error:
            raise ScenarioError(f"{path}:{line}: {str(error).partition(';')[0]}") from error
        _check_columns(path, line, row, wanted)
        yield line, row


def _json_row(text: str) -> dict[str, Any]:
    nested = text.count("{") + text.count("[")
    try:
        row = json.loads(
            text, object_pairs_hook=_unique_names, parse_constant=_refuse_constant, parse_float=_finite
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {_DEEPEST} levels") from None
    if nested > _DEEPEST and _depth(row) > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    if not isinstance(row, dict):
        raise ValueError(f"{_shown(row)} is not a JSON object")  # noqa: TRY004 - a fault of the file
    if "\\u" in text:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair, which is not text") from None
    return row


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(names := dict(pairs)) < len(pairs):
        raise ValueError(f"the name {_shown(_repeated(name for name, _ in pairs))} is there twice")
    return names


def _repeated(names: Iterable[str]) -> str:
    counts = Counter(names)
    return next(name for name, count in counts.items() if count > 1)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{_shown(text)} is beyond the range of numbers")
    return number


def _depth(value: object) -> int:
    deepest = 0
    level = [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest


def _check_columns(path: AnyPath, line: int, known: Collection[str], wanted: Iterable[str]) -> None:
    for name in wanted:
        if name not in known:
            folded = {column.casefold(): column for column in known}
            nearest = difflib.get_close_matches(name[:_LONGEST].casefold(), folded, n=1, cutoff=0.0)
            hint = f", the nearest is {_shown(folded[nearest[0]])}" if nearest else ""
            raise ScenarioError(f"{path}:{line}: no column {_shown(name)}{hint}")


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
