"""Read cache traces: Twitter's form, libCacheSim's CSV and oracleGeneral, and tables with such columns."""

from __future__ import annotations

import csv
import math
import struct
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from async_backfill._runner.logs.formats import lines_of
from async_backfill._runner.wording import shown
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.delimiters import delimiter_of
from async_backfill.sources._rows.packed import MAGIC_SIZE, Unpacking, packing_of
from async_backfill.sources._rows.reading import MOST_READ, opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from async_backfill._runner.logs.filters import Filters
    from async_backfill._runner.scenario.model import KeyFile

BINARY_NAME: Final = "oraclegeneral"
"""What the name of a trace in libCacheSim's binary form has in it, in lower case."""

_RECORD: Final = struct.Struct("<IQIq")  # time, object, size, the number of its next request
_KEYS: Final = ("obj_id", "obj-id", "object_id", "object", "obj", "lbn", "id", "key")
_TIMES: Final = ("time", "timestamp", "real_time", "clock_time")
_SIZES: Final = ("size", "obj_size", "obj-size", "object_size")
_TTLS: Final = ("ttl",)


@dataclass(slots=True, kw_only=True)
class Trace:
    """The requests of a trace; ``times`` as the trace counts them."""

    description: str
    keys: list[str] = field(default_factory=list)
    times: array[float] = field(default_factory=lambda: array("d"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    ttls: array[float] = field(default_factory=lambda: array("d"))
    lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    key: int
    time: int | None
    size: int | None
    ttl: int | None


async def read_content(path: Path) -> bytes:
    """Return the content of a file that is no text, unpacked when it is packed.

    :raises ScenarioError: when it cannot be read or unpacked, or has more than 2 GiB.
    """
    content = bytearray()
    unpacking: Unpacking | None = None
    async with opened(path) as read:
        while piece := await read():
            if not content and unpacking is None and (packing := packing_of(piece[:MAGIC_SIZE])) is not None:
                unpacking = Unpacking(path, packing)
            for part in (piece,) if unpacking is None else unpacking.feed(piece):
                content += part
                if len(content) > MOST_READ:
                    raise ScenarioError(
                        f"{path}: has more than {MOST_READ:,} bytes, which must fit into memory"
                    )
    if unpacking is not None:
        unpacking.finish()
    return bytes(content)


def read_binary(path: Path, content: bytes) -> Trace:
    """Return the trace in ``content``, records of 24 bytes in the form oracleGeneral.

    :raises ScenarioError: when its length is not that of whole records.
    """
    if len(content) % _RECORD.size:
        raise ScenarioError(
            f"{path}: has {len(content):,} bytes, no whole number of records of {_RECORD.size}: by its name "
            "it is a trace of the form oracleGeneral"
        )
    trace = Trace(description="cache trace of the form oracleGeneral, key: the object")
    same: dict[int, str] = {}
    for time, name, size, _ in _RECORD.iter_unpack(content):
        trace.keys.append(same.get(name) or same.setdefault(name, str(name)))
        trace.times.append(time)
        trace.sizes.append(size)
    trace.lines = len(trace.keys)
    return trace


def read_seven_columns(text: str, description: str, filters: Filters | None) -> Trace:
    """Return the trace in ``text``, in Twitter's form; the size is that of the key and the value.

    Only a request that writes says for how long its object is good, and it holds for those that follow.
    """
    trace = Trace(description=description)
    same: dict[str, str] = {}
    good_for: dict[str, float] = {}
    for line in lines_of(text):
        trace.lines += 1
        cells = line.rsplit(",", 5)
        time, _, key = cells[0].partition(",")
        try:
            _, key_size, value_size, _, operation, ttl = cells
            told = (float(time), int(key_size) + int(value_size), float(ttl))
        except ValueError:
            continue
        key = same.setdefault(key, key)
        if told[2]:
            good_for[key] = told[2]
        if filters is None or filters.allows(operation, ""):
            trace.keys.append(key)
            trace.times.append(told[0])
            trace.sizes.append(told[1])
            trace.ttls.append(good_for.get(key, 0.0))
    return trace


def read_columns(path: Path, text: str, spec: KeyFile) -> Trace | None:
    """Return the trace in ``text``, a table with the columns that ``spec`` names, or libCacheSim's names.

    :return: ``None`` when it is no such table.
    :raises ScenarioError: when a column is not there, or a cell is no number.
    """
    lines = lines_of(text)
    delimiter = delimiter_of(lines[:100])
    if delimiter is None:
        return None
    rows = enumerate(csv.reader(lines, delimiter=delimiter), start=1)
    head = next((cells for _, cells in rows if cells and not cells[0].startswith("sep=")), [])
    head = [cell.strip().removeprefix("#").strip() for cell in head]
    is_told = any(each is not None for each in (spec.time, spec.size, spec.ttl))
    columns = _columns(path, head, spec) if is_told else _known(head)
    if columns is None:
        return None
    if not any(name in head for name in (spec.column, *_TIMES)):  # the first row is one
        rows = enumerate(csv.reader(lines, delimiter=delimiter), start=1)
    return _rows(path, rows, columns)


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


def _rows(path: Path, rows: Iterable[tuple[int, list[str]]], columns: _Columns) -> Trace:
    names = [name for name in ("time", "size", "ttl") if getattr(columns, name) is not None]
    trace = Trace(description=f"table with a key, {', '.join(names)} in each row")
    same: dict[str, str] = {}
    for number, cells in rows:
        trace.lines += 1
        try:
            key = cells[columns.key]
            if columns.time is not None:
                trace.times.append(_number(cells[columns.time]))
            if columns.size is not None:
                trace.sizes.append(int(cells[columns.size]))
            if columns.ttl is not None:
                trace.ttls.append(_number(cells[columns.ttl] or "0"))
        except IndexError:
            raise ScenarioError(f"{path}:{number}: the row has {len(cells)} cells, too few") from None
        except (ValueError, OverflowError) as error:
            raise ScenarioError(f"{path}:{number}: {error}, expected numbers in {', '.join(names)}") from None
        trace.keys.append(same.setdefault(key, key))
    return trace


def _number(text: str) -> float:
    number = float(text)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{shown(text)} is not 0 or more")
    return number
