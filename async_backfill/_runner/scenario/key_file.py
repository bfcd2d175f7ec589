"""Read the lookups of a scenario from a file: one key a line, a log, or a cache trace."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from contextlib import aclosing
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from anyio import to_thread

from async_backfill._runner.logs.filters import Filters, refuse_filters
from async_backfill._runner.logs.formats import KeyLines
from async_backfill._runner.logs.recogniser import KeyPlace, recognise
from async_backfill._runner.logs.requests import TWITTER, RequestLog
from async_backfill._runner.scenario.file_texts import texts_of
from async_backfill._runner.scenario.key_lines import LoggedKeys, PlainKeys
from async_backfill._runner.scenario.trace_file import BINARY_NAME, SevenColumns, read_binary, read_content
from async_backfill._runner.scenario.trace_table import TraceTable, trace_table
from async_backfill.errors import ConfigurationError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from async_backfill._runner.scenario.coded_keys import CodedKeys
    from async_backfill._runner.scenario.model import KeyFile
    from async_backfill._runner.scenario.trace_file import Trace

_Reader: TypeAlias = PlainKeys | LoggedKeys | SevenColumns | TraceTable
_SAMPLE: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLookups:
    """The keys in a file, what it was taken for, and whether each line of it is a key.

    ``times``, ``sizes``, ``ttls``
        as in `async_backfill._runner.scenario.requests.Requests`.
    """

    keys: CodedKeys
    taken_for: str
    by_line: bool = False
    times: Sequence[float] | None = None
    sizes: Sequence[int] | None = None
    ttls: Sequence[float] | None = None


async def read_lookups(path: Path, spec: KeyFile) -> FileLookups:
    """Return the keys in the file at ``path``, in order.

    Each key is kept once, with four bytes for each lookup of it: the file itself is never in memory.

    :raises ScenarioError: when it cannot be read, or it is not certain where its keys are.
    :raises ConfigurationError: when ``spec`` says two things that exclude each other; names the field.
    """
    place = KeyPlace(
        format_name=spec.format,
        column=spec.column,
        field=spec.field,
        pattern=spec.pattern,
        filters=Filters.given(spec.method, spec.status),
    )
    if BINARY_NAME in path.name.lower():
        _check_plain(path, spec)
        refuse_filters(path, place.filters)
        return _of_trace(path, await to_thread.run_sync(read_binary, path, await read_content(path)), spec)
    reader: _Reader | None = None
    start: list[str] = []
    async with aclosing(texts_of(path)) as texts:
        async for text in texts:
            if reader is not None:
                reader.take(text)
                continue
            start.append(text)
            if sum(map(len, start)) >= _SAMPLE:
                reader = _begun(path, "\n".join(start), place, spec)
    if reader is None:
        reader = _begun(path, "\n".join(start), place, spec)
    reader.finish()
    if isinstance(reader, PlainKeys | LoggedKeys):
        told = _counted(reader.description, len(reader.keys), reader.lines)
        return FileLookups(keys=reader.keys.coded(), taken_for=told, by_line=isinstance(reader, PlainKeys))
    return _of_trace(path, reader.trace, spec)


def _begun(path: Path, start: str, place: KeyPlace, spec: KeyFile) -> _Reader:
    """Return the reader of a file that begins with ``start``, which it has read."""
    reader = _reader(path, start, place, spec)
    reader.take(start)
    return reader


def _reader(path: Path, start: str, place: KeyPlace, spec: KeyFile) -> _Reader:
    if place.format_name is None and place.pattern is None and place.field is None:
        has_columns = spec.column is None or _names_columns(spec)
        if has_columns and (table := trace_table(path, start, spec)) is not None:
            refuse_filters(path, place.filters)
            return table
    _check_plain(path, spec)
    log = recognise(str(path), start, place) if start.strip() else KeyLines()
    if isinstance(log, RequestLog) and log.kind is TWITTER:
        return SevenColumns(log.description, place.filters)
    _check_untimed(spec)
    return PlainKeys(path) if isinstance(log, KeyLines) else LoggedKeys(path, log)


def _of_trace(path: Path, trace: Trace, spec: KeyFile) -> FileLookups:
    """Return the lookups of ``trace`` between the times that ``spec`` says, with times from 0 on."""
    if not trace.times:
        _check_untimed(spec)
    first = trace.times[0] if trace.times else 0.0
    begin = spec.start or 0.0
    end = math.inf if spec.until is None else spec.until
    # One that goes back waits for none.
    times = array("d", (time - first for time in accumulate(trace.times, max)))
    one, other = (bisect_left(times, begin), bisect_left(times, end)) if times else (0, len(trace.keys))
    if one >= other:
        last = f" of {times[-1]:,g} s" if times else ""
        raise ScenarioError(
            f"{path}: from, until and method leave none of its {len(trace.keys):,} lookups{last}"
        )
    columns = [name for name in ("times", "sizes", "ttls") if len(getattr(trace, name))]
    told = _counted(trace.description, len(trace.keys), trace.lines)
    cut = f", of which {other - one:,} are from {begin:g} s on" if other - one < len(trace.keys) else ""
    return FileLookups(
        keys=trace.keys.coded()[one:other],
        taken_for=f"{told}, with {' and '.join(columns)}{cut}",
        times=array("d", (time - begin for time in times[one:other])) or None,
        sizes=trace.sizes[one:other] or None,
        ttls=trace.ttls[one:other] or None,
    )


def _names_columns(spec: KeyFile) -> bool:
    return any(each is not None for each in (spec.time, spec.size, spec.ttl))


def _check_plain(path: Path, spec: KeyFile) -> None:
    if _names_columns(spec):
        raise ScenarioError(f"{path}: time, size and ttl are columns of a table, and this is none")


def _check_untimed(spec: KeyFile) -> None:
    for name, value in (("from", spec.start), ("until", spec.until)):
        if value is not None:
            raise ConfigurationError(name, "needs times, as a cache trace has: say time, the column")


def _counted(description: str, lookups: int, lines: int) -> str:
    others = f", {lines - lookups:,} without one that counts" if lines > lookups else ""
    return f"{description}: {lookups:,} lookups in {lines:,} lines{others}"
