"""Contract tests for invalidations between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from anyio import create_task_group, fail_after, sleep

from async_backfill.contracts import Invalidations, K
from async_backfill.testing._calls import PATIENCE, give_up, moments
from async_backfill.testing._claims import same

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_PAUSE: Final = 0.01


class InvalidationsContract(Generic[K]):
    """Tests of the promises of `Invalidations`; inherit from it, and give ``first`` and ``second``.

    These two fixtures belong to two caches that share invalidations. Use it as `FarStoreContract`. A test
    cannot know when a listener has begun to receive, so the tests publish until it does.
    """

    keys: Sequence[K]
    """Distinct keys, three or more, with unusual ones among them."""

    async def test_what_one_publishes_the_other_hears(
        self, first: Invalidations[K], second: Invalidations[K]
    ) -> None:
        async with create_task_group() as tasks:
            heard = _Heard[K]()
            tasks.start_soon(second.listen, heard.forget)
            for keys in (*([key] for key in self.keys), self.keys, None):
                heard.clear()
                await heard.wait_for(keys, first)
            tasks.cancel_scope.cancel()

    async def test_each_can_publish_and_listen(
        self, first: Invalidations[K], second: Invalidations[K]
    ) -> None:
        async with create_task_group() as tasks:
            by_first, by_second = _Heard[K](), _Heard[K]()
            tasks.start_soon(first.listen, by_first.forget)
            tasks.start_soon(second.listen, by_second.forget)
            await by_second.wait_for(self.keys[:1], first)
            await by_first.wait_for(self.keys[1:], second)
            tasks.cancel_scope.cancel()

    async def test_who_publishes_does_not_hear_it(
        self, first: Invalidations[K], second: Invalidations[K]
    ) -> None:
        published, ready, marker = self.keys[:3]
        async with create_task_group() as tasks:
            by_first, by_second = _Heard[K](), _Heard[K]()
            tasks.start_soon(first.listen, by_first.forget)
            tasks.start_soon(second.listen, by_second.forget)
            # Twice, because a new listener may be told to forget everything.
            for _ in range(2):
                by_first.clear()
                await by_first.wait_for([ready], second)
            for _ in range(2):
                by_second.clear()
                await by_second.wait_for([published], first)
            await by_first.wait_for([marker], second)
            same(published in by_first.keys, False, "a publisher does not receive its own message")
            tasks.cancel_scope.cancel()

    async def test_who_stopped_listening_can_begin_again(
        self, first: Invalidations[K], second: Invalidations[K]
    ) -> None:
        for _ in range(3):
            async with create_task_group() as tasks:
                heard = _Heard[K]()
                tasks.start_soon(second.listen, heard.forget)
                await heard.wait_for(self.keys, first)
                tasks.cancel_scope.cancel()

    async def test_a_cancelled_publication_disturbs_no_other(
        self, first: Invalidations[K], second: Invalidations[K]
    ) -> None:
        async def publish_one() -> None:
            await first.publish(self.keys[:1])

        async with create_task_group() as tasks:
            heard = _Heard[K]()
            tasks.start_soon(second.listen, heard.forget)
            for moment in await moments(publish_one):
                await give_up(publish_one, moment)
                heard.clear()
                await heard.wait_for(self.keys[1:], first)
            tasks.cancel_scope.cancel()
        same(heard.all_keys - set(self.keys), set(), "no key is received that was not published")


class _Heard(Generic[K]):
    """The keys that one listener received."""

    def __init__(self) -> None:
        self.keys: set[K] = set()
        self.all_keys: set[K] = set()
        self.is_everything = False

    def clear(self) -> None:
        """Forget the keys received so far."""
        self.keys.clear()
        self.is_everything = False

    def forget(self, keys: Sequence[K] | None) -> None:
        """Note ``keys``, or everything for ``None``."""
        if keys is None:
            self.is_everything = True
        else:
            self.keys.update(keys)
            self.all_keys.update(keys)

    async def wait_for(self, keys: Sequence[K] | None, sender: Invalidations[K]) -> None:
        """Publish ``keys`` from ``sender`` until they are received; a ``None`` counts as all keys."""
        pause = _FIRST_PAUSE
        with fail_after(PATIENCE):
            while not (self.is_everything or (keys is not None and self.keys.issuperset(keys))):
                await sender.publish(keys)
                await sleep(pause)
                pause *= 1.5
