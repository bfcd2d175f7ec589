"""Contract tests for a source."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from anyio import fail_after, sleep

from async_backfill.contracts import K, Source, V
from async_backfill.errors import LoadError
from async_backfill.testing._calls import PATIENCE, give_up, moments, together
from async_backfill.testing._claims import same

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from async_backfill.outcomes import Failed

_MANY: Final = 20
_SOME: Final = 5
_PAUSE: Final = 0.01


class SourceContract(Generic[K, V]):
    """Tests of the promises of `Source`; inherit from it, and give the fixture ``source``.

    Nothing here imports pytest. The tests are plain async methods, so mark your class for the plugin
    that runs your async tests, ``anyio`` or ``asyncio``::

        @pytest.mark.anyio
        class TestMySource(SourceContract[str, int]):
            known = {"apple": 1, "pear": 2, "unknown price": None}
            missing = ["plum", ""]

            @pytest.fixture
            async def source(self):
                async with MySource(...) as source:
                    yield source
    """

    known: Mapping[K, V]
    """Keys that the source has, with their values: two or more, best as many as the largest batch of your
    cache. If ``None`` can be a value, include it: it must not be taken for absent."""

    missing: Sequence[K]
    """Keys that the source does not have: one or more."""

    async def test_each_known_key_alone_has_its_value(self, source: Source[K, V]) -> None:
        for key in self.known:
            await self._check(source, (key,), "a key alone has its value")

    async def test_all_known_keys_at_once_have_their_values(self, source: Source[K, V]) -> None:
        await self._check(source, tuple(self.known), "one call has all values")

    async def test_the_order_of_the_keys_does_not_matter(self, source: Source[K, V]) -> None:
        await self._check(source, tuple(self.known)[::-1], "the keys backwards have the same values")

    async def test_a_list_of_keys_will_do_and_is_not_changed(self, source: Source[K, V]) -> None:
        keys = [*self.known, *self.missing]
        await self._check(source, keys, "a list of keys has their values")
        same(keys, [*self.known, *self.missing], "the list of keys is not changed")

    async def test_a_missing_key_is_left_out_of_the_answer(self, source: Source[K, V]) -> None:
        for key in self.missing:
            await self._check(source, (key,), "a missing key is left out")

    async def test_only_missing_keys_have_an_empty_answer(self, source: Source[K, V]) -> None:
        await self._check(source, tuple(self.missing), "missing keys are left out")

    async def test_a_missing_key_is_not_answered_under_another(self, source: Source[K, V]) -> None:
        for keys in (*((key,) for key in self.missing), (*self.missing, *self.known)):
            with fail_after(PATIENCE):
                answer = await source.load_many(keys)
            others = [key for key in answer if key not in keys]
            same(others, [], f"beside the missing keys {self.missing!r:.100} there are no other keys")

    async def test_missing_keys_among_known_ones_disturb_nobody(self, source: Source[K, V]) -> None:
        for keys in ((*self.missing, *self.known), (*self.known, *self.missing)):
            await self._check(source, keys, "beside missing keys known ones have their values")

    async def test_a_second_load_answers_like_the_first(self, source: Source[K, V]) -> None:
        for _ in range(3):
            await self._check(source, tuple(self.known), "a later load has the same values")

    async def test_loads_at_the_same_time_do_not_mix(self, source: Source[K, V]) -> None:
        known, missing = tuple(self.known), tuple(self.missing)
        alone = [(key,) for key in (*known, *missing)]
        batches: list[tuple[K, ...]] = [known, missing, (*missing, *known), *alone[:_MANY]]
        promise = "of loads at the same time each has its own answer"
        for order in (batches, batches[::-1]):
            await together(*(partial(self._check, source, batch, promise) for batch in order))

    async def test_a_cancelled_load_leaves_the_source_usable(self, source: Source[K, V]) -> None:
        load = partial(self._load, source, self._some())
        for moment in await moments(load):
            await give_up(load, moment)
            await self._check(source, self._some(), "the load after a cancelled one has all values")

    async def test_a_cancelled_load_disturbs_no_other(self, source: Source[K, V]) -> None:
        first, *others = self._some()
        load_first = partial(self._load, source, (first,))
        check_others = partial(
            self._check, source, others, "a load beside a cancelled one has its own values"
        )
        for moment in await moments(load_first):
            await together(check_others, partial(give_up, load_first, moment))

    async def test_many_loads_cancelled_at_once_leave_the_source_usable(self, source: Source[K, V]) -> None:
        load = partial(self._load, source, self._some())
        for moment in await moments(load):
            await together(*(partial(give_up, load, moment) for _ in range(_MANY)))
            await self._until_usable(load)
        await self._check(source, tuple(self.known), "the load after many cancelled ones has all values")

    def _some(self) -> Sequence[K]:
        """Return a few keys, enough for a load that is repeated many times."""
        return tuple(self.known)[:_SOME]

    async def _until_usable(self, load: Callable[[], Awaitable[object]]) -> None:
        """Wait until a load succeeds: a source may refuse loads while many cancelled ones have not ended."""
        with fail_after(PATIENCE):
            while True:
                try:
                    await load()
                except LoadError:
                    await sleep(_PAUSE)
                else:
                    return

    async def _check(self, source: Source[K, V], keys: Sequence[K], promise: str) -> None:
        expected = {key: self.known[key] for key in keys if key in self.known}
        same(await self._load(source, keys), expected, promise)

    async def _load(self, source: Source[K, V], keys: Sequence[K]) -> Mapping[K, V | Failed]:
        """Return the answer of the source for ``keys``; other keys in it are ignored."""
        with fail_after(PATIENCE):
            answer = await source.load_many(keys)
        return {key: answer[key] for key in keys if key in answer}
