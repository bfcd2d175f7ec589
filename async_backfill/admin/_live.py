"""Pages that follow what happens: one look at the state for all of them, and a stream for each."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from anyio import CancelScope, Event, Lock, create_task_group, current_time, fail_after, move_on_after
from markupsafe import escape

from async_backfill._common.error_text import error_line
from async_backfill._runner.wording import one_line
from async_backfill.admin._refusals import RefusedError
from async_backfill.errors import AsyncBackfillError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping

    from starlette.types import Receive, Scope, Send

    Look: TypeAlias = Callable[[], Awaitable["Shown"]]
    Rest: TypeAlias = Callable[["Shown"], Mapping[str, str]]

EVERY: Final = 1.0
"""Seconds for which a look holds, for all pages that show the same, and after which a stream asks again."""

TROUBLE: Final = "trouble"
"""The part that says why nothing new is shown."""

_MOST_STREAMS: Final = 500
_LONGEST_HOLD: Final = 10.0
_SHARE: Final = 0.03
_LONGEST_STREAM: Final = 300.0
_PATIENCE: Final = 20.0
_HEARTBEAT: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a page shows at one moment.

    ``parts``
        HTML by the id of the element that it is in; the same for all visitors.
    ``facts``
        what a page shows beside them, for its template.
    ``acts_on``
        what decides which forms are shown.
    """

    parts: Mapping[str, str]
    facts: Mapping[str, object]
    acts_on: Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    at: float
    cost: float
    shown: Shown


class Looks:
    """Looks at what is shown for all pages at once, and not so often that it takes much of the processor.

    :param processor: seconds of the processor that this process has used.
    """

    def __init__(self, processor: Callable[[], float] = time.process_time) -> None:
        self._processor = processor
        self._lock = Lock()
        self._kept: dict[Hashable, _Kept] = {}
        self._changes = 0

    async def look(self, name: Hashable, look: Look, *, is_followed: bool = False) -> Shown:
        """Return what ``look`` returns, of the last second.

        :param is_followed: whether it may be older, up to ten seconds, where looks at all that is followed
            would take more than a thirtieth of the processor's time.
        """
        async with self._lock:
            kept = self._kept.get(name)
            most = self._hold() if is_followed else EVERY
            if kept is not None and current_time() - kept.at < most:
                return kept.shown
            self._kept.pop(name, None)
            changes, began, used = self._changes, current_time(), self._processor()
            shown = await look()
            if changes != self._changes:  # it may be of the time before the change
                return shown
            self._kept[name] = _Kept(at=began, cost=self._processor() - used, shown=shown)
            return shown

    def _hold(self) -> float:
        """Return for how many seconds a look holds for those that follow it."""
        oldest = current_time() - 2 * _LONGEST_HOLD
        while self._kept and next(iter(self._kept.values())).at < oldest:
            del self._kept[next(iter(self._kept))]
        cost = sum(kept.cost for kept in self._kept.values())
        return min(max(EVERY, cost / _SHARE), _LONGEST_HOLD)

    def forget(self) -> None:
        """Look anew: something was changed here."""
        self._changes += 1
        self._kept.clear()


class Streams:
    """The streams of all open pages of this process."""

    def __init__(self, *, most: int = _MOST_STREAMS) -> None:
        self._most = most
        self._ended = Event()
        self.open = 0

    def end(self) -> None:
        """End all streams, as the server is about to: their pages try again, and find the next one."""
        self._ended.set()

    def stream(self, look: Callable[[], Awaitable[Shown]], rest: Rest) -> Stream:
        """Return the answer that tells a page what is new.

        :param look: returns what the page shows now.
        :param rest: returns the parts that are of this visitor alone.
        """
        if self.open >= self._most:
            raise RefusedError(
                503, f"{self._most} pages are followed already: reload this one to see what is new."
            )
        return Stream(self, look, rest)

    async def wait(self) -> bool:
        """Wait until it is time for the next look; return whether there is one."""
        with move_on_after(EVERY):
            await self._ended.wait()
        return not self._ended.is_set()


class Stream:
    """An answer that lasts: an event for each part of a page that is new. An ASGI application.

    It ends after some minutes, so that a right that was taken away does not last; a browser asks again.
    """

    def __init__(self, streams: Streams, look: Callable[[], Awaitable[Shown]], rest: Rest) -> None:
        self._streams = streams
        self._look = look
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        self._streams.open += 1
        try:
            async with create_task_group() as group:
                group.start_soon(_hang_up, receive, group.cancel_scope)
                await self._send_all(send)
                group.cancel_scope.cancel()
        finally:
            self._streams.open -= 1

    async def _send_all(self, send: Send) -> None:
        kind = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    with fail_after(_PATIENCE):  # who does not read for so long is not there
                        await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            return

    async def _events(self) -> AsyncGenerator[str]:
        sent: dict[str, str] = {}
        ends, told = current_time() + _LONGEST_STREAM, current_time()
        acts_on: Hashable = None
        yield "retry: 2000\n\n"
        while current_time() < ends:
            news: dict[str, str] = {}
            try:
                shown = await self._look()
            except RefusedError as error:  # what is followed has left, and may come back
                news[TROUBLE] = str(escape(error.said))
            except AsyncBackfillError as error:
                news[TROUBLE] = str(escape(one_line(error_line(error))))
            else:
                news.update(shown.parts, **{TROUBLE: ""})
                if shown.acts_on != acts_on:
                    acts_on = shown.acts_on
                    news.update(self._rest(shown))
            for name, html in news.items():
                if sent.get(name) != html:
                    sent[name], told = html, current_time()
                    yield _event(name, html)
            if current_time() - told >= _HEARTBEAT:
                told = current_time()
                yield ": still here\n\n"
            if not await self._streams.wait():
                return


def _event(name: str, html: str) -> str:
    """Return an event whose first line names the part, and whose other lines are its HTML."""
    return "".join(f"data: {line}\n" for line in (name, *html.splitlines())) + "\n"


async def _hang_up(receive: Receive, scope: CancelScope) -> None:
    """Cancel ``scope`` when the browser is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
