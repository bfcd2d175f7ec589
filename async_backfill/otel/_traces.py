"""The spans of caches and jobs, made by OpenTelemetry."""

from __future__ import annotations

import importlib.metadata
import logging
import math
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, Status, StatusCode, get_current_span, set_span_in_context

from async_backfill._common.line_a_second import LineASecond
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Tracing"]

_LOGGER: Final = logging.getLogger("async_backfill.otel")
_LOOK: Final = 1.0
_PREFIX: Final = "async_backfill."
_MOST_SHOWN: Final = 20
_LONGEST: Final = 200
_SILENT: Final = (trace.NoOpTracerProvider, trace.ProxyTracerProvider)


class Tracing:
    """Makes spans of what caches and jobs do, with OpenTelemetry; one may be given to any number of them.

    Without a provider that collects spans it does nothing; one that is set later is found within a second.

    :param tracer_provider: where the spans go; ``None`` for the global provider.
    :param keys: whether spans show keys, and the messages of errors, in which keys and values may be.
    :raises ConfigurationError: when ``tracer_provider`` is none.
    """

    def __init__(self, tracer_provider: trace.TracerProvider | None = None, *, keys: bool = False) -> None:
        if not isinstance(tracer_provider, trace.TracerProvider | None):
            problem = f"must be a TracerProvider of OpenTelemetry, or None, not {tracer_provider!r}"
            raise ConfigurationError("tracer_provider", problem)
        self._provider = tracer_provider
        self._shows_keys = keys
        self._tracer: trace.Tracer | None = None
        self._look_at = -math.inf
        self._clock = time.monotonic
        self._log = LineASecond(_LOGGER, time.monotonic)

    def collects(self) -> bool:
        """Return whether there is a provider that collects spans."""
        return self._tracer is not None or (self._clock() >= self._look_at and self._find() is not None)

    def caller(self) -> Span | None:
        """Return the current span; ``None`` where there is none, or nobody collects spans."""
        if not self.collects():
            return None
        span = get_current_span()
        return span if span.get_span_context().is_valid else None

    def begin(
        self,
        name: str,
        facts: Mapping[str, object],
        /,
        *,
        callers: Collection[Any] = (),
        links: Collection[Any] = (),
    ) -> _OpenSpan | None:
        """Begin a span; ``None`` where nobody collects spans.

        It is a child of the first of ``callers``, if they all belong to one trace, and linked to the others.
        """
        tracer = self._tracer or self._find()
        if tracer is None:
            return None
        traces = {caller.get_span_context().trace_id for caller in callers}
        parent = next(iter(callers)) if len(traces) == 1 else None
        linked = [span for span in (*callers, *links) if span is not parent]
        whose = facts.get("cache", facts.get("job"))
        try:
            span = tracer.start_span(
                name if whose is None else f"{name} {whose}",
                Context() if parent is None else set_span_in_context(parent, Context()),
                attributes=_attributes(facts, shows_keys=self._shows_keys),
                links=[Link(other.get_span_context()) for other in linked],
            )
            if not span.get_span_context().is_valid:
                return None
            if span.is_recording():
                for other in linked:
                    _link(other, span)
        except Exception as error:  # noqa: BLE001 - of a sampler or a processor, and no load may fail for it
            self._log.warning("a span could not begin", error=error)
            return None
        return _OpenSpan(span, self._log, shows_keys=self._shows_keys)

    def _find(self) -> trace.Tracer | None:
        """Return the tracer of a provider that collects spans, if there is one by now."""
        if (now := self._clock()) < self._look_at:
            return None
        self._look_at = now + _LOOK
        try:
            provider = trace.get_tracer_provider() if self._provider is None else self._provider
            if isinstance(provider, _SILENT):
                return None
            tracer = provider.get_tracer("async_backfill", importlib.metadata.version("async-backfill"))
        except Exception as error:  # noqa: BLE001 - of the provider, and no load may fail for it
            self._log.warning("there are no spans: the provider cannot be had", error=error)
            return None
        if isinstance(tracer, trace.NoOpTracer):
            return None
        self._tracer = tracer
        return tracer


class _OpenSpan:
    """A span that has begun; implements `async_backfill.contracts.OpenSpan`."""

    __slots__ = ("_has_ended", "_log", "_shows_keys", "_span")

    def __init__(self, span: Span, log: LineASecond, *, shows_keys: bool) -> None:
        self._span = span
        self._log = log
        self._shows_keys = shows_keys
        self._has_ended = False

    def enter(self) -> object:
        return attach(set_span_in_context(self._span))

    def leave(self, token: Any, /) -> None:
        if get_current_span() is self._span:  # else the event loop ends, and closes what did not
            detach(token)

    def link(self, caller: Any, /) -> None:
        if self._span.is_recording():
            self._span.add_link(caller.get_span_context())
            _link(caller, self._span)

    def end(self, facts: Mapping[str, object], error: BaseException | None = None, /) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        try:
            if self._span.is_recording():
                self._span.set_attributes(_attributes(facts, shows_keys=self._shows_keys))
                if error is not None:
                    self._failed(error)
            self._span.end()
        except Exception as raised:  # noqa: BLE001 - as above
            self._log.warning("a span could not end", error=raised)

    def _failed(self, error: BaseException) -> None:
        kind = type(error)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        self._span.set_attribute("error.type", name)
        if self._shows_keys:
            self._span.record_exception(error)
        self._span.set_status(Status(StatusCode.ERROR, str(error) if self._shows_keys else name))


def _attributes(facts: Mapping[str, object], *, shows_keys: bool) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, fact in facts.items():
        if name == "keys" and isinstance(fact, Collection):
            attributes[f"{_PREFIX}keys"] = len(fact)
            if shows_keys:
                attributes[f"{_PREFIX}key_list"] = _shown(fact)
        elif fact is not None:
            attributes[_PREFIX + name] = fact
    return attributes


def _link(caller: Span, span: Span) -> None:
    """Link the span of a caller to the one that is not below it, so that both can be found from either."""
    if caller.is_recording():  # it may have ended before what it has asked for
        caller.add_link(span.get_span_context())


def _shown(keys: Collection[object]) -> Sequence[str]:
    shown = [repr(key)[:_LONGEST] for key, _ in zip(keys, range(_MOST_SHOWN), strict=False)]
    return [*shown, "..."] if len(keys) > _MOST_SHOWN else shown
