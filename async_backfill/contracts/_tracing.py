"""Who makes spans of what a cache and a job do, and a span that has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping


class OpenSpan(Protocol):
    """A span that has begun. Nothing here raises."""

    def enter(self) -> object:
        """Make it the current span of the context that runs; return what `leave` takes."""
        ...

    def leave(self, token: object, /) -> None:
        """Make that the current span which was it before; in the context of `enter`."""
        ...

    def link(self, caller: Hashable, /) -> None:
        """Link it to the span of a ``caller`` who has joined since it began."""
        ...

    def end(self, facts: Mapping[str, object], error: BaseException | None = None, /) -> None:
        """End it, with what came of it; once it has ended this does nothing."""
        ...


class Tracer(Protocol):
    """Makes spans of what a cache and a job do, such as `async_backfill.otel.Tracing`.

    Nothing here raises.
    """

    def collects(self) -> bool:
        """Return whether anybody collects spans now; asked at each load, so it must be quick."""
        ...

    def caller(self) -> Hashable | None:
        """Return what stands for the current span; ``None`` where there is none, or nobody collects spans."""
        ...

    def begin(
        self,
        name: str,
        facts: Mapping[str, object],
        /,
        *,
        callers: Collection[Hashable] = (),
        links: Collection[Hashable] = (),
    ) -> OpenSpan | None:
        """Begin a span; ``None`` where nobody collects spans.

        :param name: what it is of, such as ``"load"``.
        :param facts: ``"cache"`` or ``"job"``, which is whose it is; ``"keys"``, the keys themselves, which
            may be counted or shown; and others, which are numbers, texts and booleans.
        :param callers: those who wait for it, as `caller` returned them: it belongs below the only one.
        :param links: others, who do not wait for it.
        """
        ...
