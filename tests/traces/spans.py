"""The spans of a test, as an SDK collects them."""

from __future__ import annotations

from contextlib import contextmanager

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from async_backfill.otel import Tracing


class Spans:
    """A provider of its own, what makes spans with it, and the spans that have ended."""

    def __init__(self, **settings):
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.begun = self.provider.add_span_processor(counter := Begun()) or counter
        self.tracing = Tracing(self.provider, **settings)
        self.tracer = self.provider.get_tracer("test")

    @contextmanager
    def span(self, name):
        """Make a span of the test's own the current one."""
        with self.tracer.start_as_current_span(name) as span:
            yield span

    def clear(self):
        """Forget all spans."""
        self._exporter.clear()
        self.begun.begun = 0

    @property
    def ended(self):
        return self._exporter.get_finished_spans()

    @property
    def open(self):
        """The number of spans that have not ended."""
        return self.begun.begun - len(self.ended)

    def named(self, name):
        return [span for span in self.ended if span.name.split()[: len(name.split())] == name.split()]

    def one(self, name):
        (span,) = self.named(name)
        return span


class Begun(SimpleSpanProcessor):
    """Counts the spans that have begun."""

    def __init__(self):
        super().__init__(InMemorySpanExporter())
        self.begun = 0

    def on_start(self, span, parent_context=None):  # noqa: ARG002 - the SDK calls it so
        self.begun += 1

    def on_end(self, span):
        """Nothing is exported here."""


class QueriedSource:
    """A source with instrumentation of its own: each call is a span below the one that is current."""

    def __init__(self, spans, inner):
        self._spans = spans
        self._inner = inner

    async def load_many(self, keys, /):
        with self._spans.span("query"):
            return await self._inner.load_many(keys)


def id_of(span):
    return span.get_span_context().span_id


def is_below(span, above):
    """Whether ``span`` is a child of ``above``, in the same trace."""
    return (
        span.parent is not None
        and span.parent.span_id == id_of(above)
        and span.context.trace_id == above.context.trace_id
    )


def links_of(span):
    return {link.context.span_id for link in span.links}


def facts_of(span):
    """The attributes, without the prefix that all have."""
    return {name.removeprefix("async_backfill."): value for name, value in span.attributes.items()}
