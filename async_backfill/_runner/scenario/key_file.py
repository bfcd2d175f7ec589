"""Read the lookups of a scenario from a file: one key a line, a log, or a cache trace."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backfill._runner.logs.filters import Filters
from async_backfill._runner.logs.formats import KeyLines
from async_backfill._runner.logs.recogniser import KeyPlace, recognise
from async_backfill._runner.logs.requests import TWITTER, RequestLog
from async_backfill._runner.scenario.trace_file import (
    BINARY_NAME,
    read_binary,
    read_columns,
    read_content,
    read_seven_columns,
)
from async_backfill._runner.wording import shown
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.tables import keys_of, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from async_backfill._runner.scenario.model import KeyFile
    from async_backfill._runner.scenario.trace_file import Trace

_SAMPLE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLookups:
    """The keys in a file, what it was taken for, and whether each line of it is a key.

    ``times``, ``sizes``, ``ttls``
        as in `async_backfill._runner.scenario.requests.Requests`.
    """

    keys: Sequence[str]
    taken_for: str
    by_line: bool = False
    times: Sequence[float] | None = None
    sizes: Sequence[int] | None = None
    ttls: Sequence[float] | None = None


async def read_lookups(path: Path, spec: KeyFile) -> FileLookups:
    """Return the keys in the file at ``path``, in order.

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
        return _of_trace(path, read_binary(path, await read_content(path)), spec)
    return await to_thread.run_sync(_found, path, await read_text(path), place, spec)


def _found(path: Path, text: str, place: KeyPlace, spec: KeyFile) -> FileLookups:
    start = text[: text.rfind("\n", 0, _SAMPLE) + 1 or _SAMPLE]
    if place.format_name is None and place.pattern is None and place.field is None:
        has_columns = spec.column is None or _names_columns(spec)
        if has_columns and (trace := read_columns(path, text, spec)) is not None:
            return _of_trace(path, trace, spec)
    _check_plain(path, spec)
    log = recognise(str(path), start, place) if start.strip() else KeyLines()
    if isinstance(log, RequestLog) and log.kind is TWITTER:
        return _of_trace(path, read_seven_columns(text, log.description, place.filters), spec)
    _check_untimed(spec)
    if isinstance(log, KeyLines):
        keys = keys_of(path, text)
        return FileLookups(keys=keys, taken_for=_counted(log.description, len(keys), len(keys)), by_line=True)
    found, lines = log.keys(text)
    last, more = log.rest()
    keys = [*found, *last]
    if not keys:
        first = shown(text.partition("\n")[0])
        raise ScenarioError(f"{path}: no line is {log.expected}; the first is {first}")
    return FileLookups(keys=keys, taken_for=_counted(log.description, len(keys), lines + more))


def _of_trace(path: Path, trace: Trace, spec: KeyFile) -> FileLookups:
    """Return the lookups of ``trace`` between the times that ``spec`` says, with times from 0 on."""
    if not trace.times:
        _check_untimed(spec)
    first = trace.times[0] if trace.times else 0.0
    begin = spec.start or 0.0
    end = math.inf if spec.until is None else spec.until
    times = [time - first for time in accumulate(trace.times, max)]  # one that goes back waits for none
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
        keys=trace.keys[one:other],
        taken_for=f"{told}, with {' and '.join(columns)}{cut}",
        times=[time - begin for time in times[one:other]] or None,
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
