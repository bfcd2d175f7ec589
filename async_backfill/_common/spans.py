"""Run code with a span as the current one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from async_backfill.contracts import OpenSpan, Tracer


@contextmanager
def current(span: OpenSpan | None) -> Iterator[None]:
    """Make ``span`` the current one inside ``with``; ``None`` leaves the one that is."""
    if span is None:
        yield
        return
    token = span.enter()
    try:
        yield
    finally:
        span.leave(token)


@contextmanager
def spanning(
    tracer: Tracer | None, name: str, facts: Mapping[str, object], *, links: Collection[object] | None = None
) -> Iterator[dict[str, object]]:
    """Make a span of what is inside ``with``, below the current one; yields facts of its end, to be filled.

    :param links: with a value it is below none, and linked to these.
    """
    told: dict[str, object] = {}
    span = None
    if tracer is not None:
        callers = [] if links is not None or (caller := tracer.caller()) is None else [caller]
        span = tracer.begin(name, facts, callers=callers, links=links or ())
    if span is None:
        yield told
        return
    try:
        with current(span):
            yield told
    except BaseException as error:
        span.end(told, error)
        raise
    span.end(told)
