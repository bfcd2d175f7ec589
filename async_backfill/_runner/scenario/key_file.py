"""Read the lookups of a scenario from a file: one key a line, or a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio import to_thread

from async_backfill._runner.logs.filters import Filters
from async_backfill._runner.logs.formats import KeyLines
from async_backfill._runner.logs.recogniser import KeyPlace, recognise
from async_backfill._runner.wording import shown
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.tables import keys_of, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from async_backfill._runner.scenario.model import KeyFile

_SAMPLE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLookups:
    """The keys in a file, what it was taken for, and whether each line of it is a key."""

    keys: Sequence[str]
    taken_for: str
    by_line: bool


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
    return await to_thread.run_sync(_found, path, await read_text(path), place)


def _found(path: Path, text: str, place: KeyPlace) -> FileLookups:
    start = text[: text.rfind("\n", 0, _SAMPLE) + 1 or _SAMPLE]
    log = recognise(str(path), start, place) if start.strip() else KeyLines()
    if isinstance(log, KeyLines):
        keys = keys_of(path, text)
        return FileLookups(keys=keys, taken_for=_counted(log.description, len(keys), len(keys)), by_line=True)
    found, lines = log.keys(text)
    last, more = log.rest()
    keys = [*found, *last]
    if not keys:
        first = shown(text.partition("\n")[0])
        raise ScenarioError(f"{path}: no line is {log.expected}; the first is {first}")
    taken_for = _counted(log.description, len(keys), lines + more)
    return FileLookups(keys=keys, taken_for=taken_for, by_line=False)


def _counted(description: str, lookups: int, lines: int) -> str:
    others = f", {lines - lookups:,} without one that counts" if lines > lookups else ""
    return f"{description}: {lookups:,} lookups in {lines:,} lines{others}"
