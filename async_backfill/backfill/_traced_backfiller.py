"""Backfills that are spans: from the selection of their keys to the end of their load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._common.spans import current
from async_backfill.backfill._backfiller import Backfiller
from async_backfill.contracts import K
from async_backfill.errors import LoadError
from async_backfill.records import Status

if TYPE_CHECKING:
    from async_backfill.backfill._episode import Episode
    from async_backfill.contracts import OpenSpan, Tracer


class TracedBackfiller(Backfiller[K]):
    """Makes a span of each backfill, with ``tracer``, for the cache ``name``; see `Backfiller`.

    It is linked to the caller whose miss has started it, and belongs below the one who waits for it by hand.
    """

    def __init__(self, tracer: Tracer, name: str | None, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer
        self._name = name

    def _start(self, episode: Episode) -> Episode:
        episode.caller = self._tracer.caller()
        return super()._start(episode)

    async def _run(self, episode: Episode) -> None:
        callers = () if episode.caller is None else (episode.caller,)
        waits = episode.needs_no_permit  # a person, or a program that has asked for it
        span = episode.span = self._tracer.begin(
            "backfill",
            {"cache": self._name, "cause": episode.cause.value},
            callers=callers if waits else (),
            links=() if waits else callers,
        )
        try:
            with current(span):
                await super()._run(episode)
        finally:
            _end(episode, span)

    async def _give_up(self, episode: Episode, failure: TimeoutError) -> None:
        try:
            await super()._give_up(episode, failure)
        finally:
            _end(episode, episode.span)


def _end(episode: Episode, span: OpenSpan | None) -> None:
    if span is None:
        return
    record = episode.record
    if record is None:
        span.end({"status": Status.CANCELLED.value})
        return
    facts = {"status": record.status.value, "backfill": record.backfill, "found": record.loaded}
    failed = record.status is Status.FAILED
    span.end({**facts, "asked": record.keys}, LoadError(record.error or "") if failed else None)
