"""Refuse to open a cache on trio where a part of it needs asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill.contracts import NeedsAsyncio
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backfill._session.settings import Settings


def require_trio(settings: Settings[Any, Any]) -> None:
    """Check that each part of a cache can run on trio.

    :raises ConfigurationError: for the first that cannot.
    """
    for name, part in _parts(settings):
        if isinstance(part, NeedsAsyncio):
            problem = f"is a {type(part).__name__}, which needs asyncio, and the cache was opened on trio"
            raise ConfigurationError(name, problem)


def _parts(settings: Settings[Any, Any]) -> Iterator[tuple[str, object]]:
    yield "source", settings.source
    yield "scan", settings.scan
    yield "permits", settings.permits
    yield "control", settings.control
    yield "journal", settings.journal
    yield "audit_sink", settings.audit_sink
    if settings.far is not None:
        yield "far.store", settings.far.store
        yield "far.leases", settings.far.leases
        yield "far.invalidations", settings.far.invalidations
