"""Run code with a span as the current one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
def ending(span: OpenSpan | None, facts: Mapping[str, object]) -> Iterator[None]:
    """Make ``span`` the current one inside ``with``, and end it then, with ``facts`` as they are by then."""
    try:
        with current(span):
            yield
    except BaseException as error:
        if span is not None:
            span.end(facts, error)
        raise
    if span is not None:
        span.end(facts)


@contextmanager
def spanning(tracer: Tracer | None, name: str, facts: Mapping[str, object]) -> Iterator[None]:
    """Make a span of what is inside ``with``, below the current one, if there is a ``tracer``."""
    if tracer is None:
        yield
        return
    caller = tracer.caller()
    with ending(tracer.begin(name, facts, callers=() if caller is None else (caller,)), {}):
        yield
