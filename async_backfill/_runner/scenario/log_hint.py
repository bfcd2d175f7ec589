"""Say of a log of requests that was given as a source that it is lookups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._runner.logs.fields import Fields
from async_backfill._runner.logs.recogniser import KeyPlace, recognise
from async_backfill._runner.logs.requests import RequestLog
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.reading import begin_of

if TYPE_CHECKING:
    from pathlib import Path

_SAMPLE: Final = 1 << 16


async def with_log_hint(error: ScenarioError, path: Path) -> ScenarioError:
    """Return ``error``, which the source at ``path`` raised, with a hint when that file is a log."""
    try:
        start, _, _ = (await begin_of(path, _SAMPLE)).decode(errors="replace").rpartition("\n")
        log = recognise(str(path), start, KeyPlace()) if start else None
    except ScenarioError:  # it is not certain what the file is, or it cannot be read
        return error
    if not isinstance(log, RequestLog | Fields):
        return error
    told = log.description.partition(",")[0]
    return ScenarioError(f"{error}; it looks like a {told}: give it as lookups = {{ file = ... }}")
