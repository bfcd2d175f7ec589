"""The backfills that run: wait for them, cancel them, tell what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio import move_on_after

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill.backfill._episode import Episode

_LONGEST_WAIT: Final = 1.0


class Running:
    """The episodes under way, oldest first."""

    def __init__(self) -> None:
        self._episodes: dict[Episode, None] = {}

    def __len__(self) -> int:
        return len(self._episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(tuple(self._episodes))

    def add(self, episode: Episode) -> None:
        """Take note that ``episode`` has begun."""
        self._episodes[episode] = None

    def over(self, episode: Episode) -> None:
        """Take note that ``episode`` has ended, if that is new."""
        if self._episodes.pop(episode, episode) is None:
            episode.done.set()

    async def next(self) -> None:
        """Wait until the oldest has ended."""
        await next(iter(self._episodes)).done.wait()

    async def quiet(self) -> None:
        """Wait until none is under way."""
        while self:
            await self.next()

    def stop(self) -> None:
        """Cancel the tasks of all."""
        for episode in self:
            episode.scope.cancel()

    def cancel(self, by: str, reason: str) -> Sequence[Episode]:
        """End the backfills under way for ``by``, what they have loaded stays; return them."""
        cancelled = tuple(self)
        for episode in cancelled:
            episode.cancel(by, reason)
        return cancelled


async def ended(episodes: Sequence[Episode]) -> None:
    """Wait until ``episodes`` have ended, for a second at the most: a scan may not yield to cancellation."""
    with move_on_after(_LONGEST_WAIT):
        for episode in episodes:
            await episode.done.wait()
