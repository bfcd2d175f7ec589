"""Contract tests for the leases of a far tier (L2)."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from async_backfill.contracts import FarStore, K, Leases, V
from async_backfill.testing._calls import together
from async_backfill.testing._claims import holds, same
from async_backfill.testing._outdated_leases_contract import OutdatedLeasesContract, found, lease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_RIVALS: Final = 10


class LeasesContract(OutdatedLeasesContract[K, V]):
    """Tests of the promises of `Leases`; inherit from it, and give four fixtures.

    ``leases``, ``rival`` and ``brief`` belong to three processes that share the far tier's ``store``, which
    is empty when a test begins. The leases of ``brief`` are short; the others are so long that none expires
    during a test. Use it as `FarStoreContract`.
    """

    items: Mapping[K, V]
    """Two keys or more with their values, which all differ. One value should be ``None``."""

    brief_lease: float = 0.05
    """The duration in seconds of a lease of ``brief``; some tests wait until it expires."""

    ttl: float = 0.05
    """The shortest useful ttl in seconds."""

    resolution: float = 0.01
    """The largest difference in seconds between the store's clock and the event loop's over one lease."""

    async def test_a_key_without_a_value_and_a_lease_is_leased(self, leases: Leases[K, V]) -> None:
        tokens = await lease(leases, tuple(self.items))
        same(set(tokens), set(self.items), "each free key is leased")
        holds("a token is bytes", kept=all(isinstance(token, bytes) for token in tokens.values()))

    async def test_a_key_with_a_value_is_not_leased(
        self, store: FarStore[K, V], leases: Leases[K, V]
    ) -> None:
        first, *others = self.items
        await store.set_many({key: self.items[key] for key in others})
        tokens = await lease(leases, tuple(self.items))
        same(set(tokens), {first}, "only the key without a value is leased")

    async def test_a_leased_key_is_not_leased_again(self, leases: Leases[K, V], rival: Leases[K, V]) -> None:
        first, *others = self.items
        await lease(leases, (first,))
        same(set(await lease(rival, tuple(self.items))), set(others), "another gets the free keys only")
        same(dict(await lease(leases, (first,))), {}, "nor does its own process get it twice")

    async def test_of_all_who_ask_at_once_one_gets_the_lease(
        self, leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        key = next(iter(self.items))
        calls = [partial(lease, asker, (key,)) for asker in (leases, rival)] * _RIVALS
        granted = [tokens for tokens in await together(*calls) if tokens]
        same([set(tokens) for tokens in granted], [{key}], "exactly one of them gets it")

    async def test_what_is_loaded_under_a_lease_is_kept_and_ends_it(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        tokens = await lease(leases, tuple(self.items))
        same(set(await leases.set_many(self.items, tokens)), set(self.items), "all are kept")
        same(await found(store, self.items), dict(self.items), "the stored values are found")
        await store.delete_many(tuple(self.items))
        again = await lease(rival, tuple(self.items))
        same(set(again), set(self.items), "once there is no value, the keys can be leased again")

    async def test_what_is_loaded_under_a_lease_has_a_ttl(
        self, store: FarStore[K, V], leases: Leases[K, V]
    ) -> None:
        tokens = await lease(leases, tuple(self.items))
        await leases.set_many(self.items, tokens, ttl=self.ttl)
        await anyio.sleep(self.ttl + self.resolution)
        same(await found(store, self.items), {}, "after the ttl nothing is found")

    async def test_nothing_is_kept_without_the_right_token(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        key = next(iter(self.items))
        tokens = await lease(leases, (key,))
        for wrong in (b"", b"0", bytes([tokens[key][0] ^ 1]) + tokens[key][1:]):
            kept = await rival.set_many({key: self.items[key]}, {key: wrong})
            same((list(kept), await found(store, self.items)), ([], {}), "a wrong token keeps nothing")
        same(
            list(await leases.set_many({key: self.items[key]}, tokens)),
            [key],
            "the right lease is still held",
        )

    async def test_a_lease_ends_by_itself_and_what_comes_too_late_is_not_kept(
        self, store: FarStore[K, V], brief: Leases[K, V]
    ) -> None:
        tokens = await lease(brief, tuple(self.items))
        await anyio.sleep(self.brief_lease + self.resolution)
        same(list(await brief.set_many(self.items, tokens)), [], "the lease is over")
        same(await found(store, self.items), {}, "nothing was kept")

    async def test_who_comes_too_late_harms_nobody(
        self, store: FarStore[K, V], brief: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        (key, old), (_, new) = tuple(self.items.items())[:2]
        late = await lease(brief, (key,))
        await anyio.sleep(self.brief_lease + self.resolution)
        tokens = await lease(rival, (key,))
        same(set(tokens), {key}, "the key can be leased again")
        await brief.release_many(late)
        same(list(await brief.set_many({key: old}, late)), [], "the old lease stores nothing")
        same(list(await rival.set_many({key: new}, tokens)), [key], "the new lease is still held")
        same(list(await brief.set_many({key: old}, late)), [], "the old lease does not replace a value")
        same(await found(store, self.items), {key: new}, "the new value is found")

    async def test_a_lease_is_taken_over_once(self, leases: Leases[K, V], rival: Leases[K, V]) -> None:
        key = next(iter(self.items))
        first, second, third = _related_tokens()
        await leases.acquire_many((key,), first)
        same(dict(await rival.acquire_many((key,), second)), {key: second}, "a rival takes it over")
        same(dict(await leases.acquire_many((key,), third)), {key: second}, "nobody does so again")
        await leases.release_many({key: first})
        same(dict(await leases.acquire_many((key,), third)), {key: second}, "who had it cannot release it")

    async def test_under_a_lease_that_was_taken_over_both_may_keep_a_value(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        key, value = next(iter(self.items.items()))
        first, second, _ = _related_tokens()
        for quicker, slower in ((first, second), (second, first)):
            await store.clear()
            await leases.acquire_many((key,), first)
            await rival.acquire_many((key,), second)
            same(list(await leases.set_many({key: value}, {key: quicker})), [key], "the first to end writes")
            same(list(await rival.set_many({key: value}, {key: slower})), [], "the other one does not")

    async def test_a_lease_that_is_taken_over_keeps_its_outdated_value(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        key, value = next(iter(self.items.items()))
        first, second, _ = _related_tokens()
        await store.set_many({key: value})
        await leases.acquire_many((key,), first, outdated=(key,))
        await rival.acquire_many((key,), second, outdated=(key,))
        same(await found(store, (key,)), {key: value}, "the outdated value can be read")
        await rival.release_many({key: second})
        same(await found(store, (key,)), {key: value}, "and after the lease as well")

    async def test_a_released_key_can_be_leased_by_another(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        tokens = await lease(leases, tuple(self.items))
        await leases.release_many(tokens)
        same(set(await lease(rival, tuple(self.items))), set(self.items), "another gets the keys")
        same(list(await leases.set_many(self.items, tokens)), [], "a released lease stores nothing")
        same(await found(store, self.items), {}, "a release leaves no value")

    async def test_a_put_wins_over_a_lease(self, store: FarStore[K, V], leases: Leases[K, V]) -> None:
        (key, loaded), (_, put) = tuple(self.items.items())[:2]
        tokens = await lease(leases, (key,))
        await store.set_many({key: put})
        same(list(await leases.set_many({key: loaded}, tokens)), [], "the loaded value is not stored")
        same(await found(store, self.items), {key: put}, "the put value is found")

    async def test_a_delete_wins_over_a_lease(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        await self._overrule(store, leases, rival, partial(store.delete_many, tuple(self.items)))

    async def test_clear_wins_over_all_leases(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        await self._overrule(store, leases, rival, store.clear)

    async def test_of_several_leases_those_that_still_stand_keep_their_values(
        self, store: FarStore[K, V], leases: Leases[K, V]
    ) -> None:
        first, *others = self.items
        tokens = await lease(leases, tuple(self.items))
        await store.delete_many((first,))
        same(set(await leases.set_many(self.items, tokens)), set(others), "all but the one are kept")
        same(
            await found(store, self.items),
            {key: self.items[key] for key in others},
            "the stored values are found",
        )

    async def test_who_watches_hears_when_a_lease_ends(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        first, *others = self.items

        async def keep(tokens: Mapping[K, bytes]) -> None:
            await leases.set_many({first: self.items[first]}, tokens)

        async def put(_: Mapping[K, bytes]) -> None:
            await store.set_many({first: self.items[first]})

        async def delete(_: Mapping[K, bytes]) -> None:
            await store.delete_many((first,))

        for end in (keep, leases.release_many, put, delete):
            await store.clear()
            tokens = await lease(leases, (first,))
            with rival.watch({first, *others}) as ended:
                await together(partial(_await, ended), partial(end, tokens))

    async def test_who_watches_hears_when_a_lease_ends_by_itself(self, brief: Leases[K, V]) -> None:
        key = next(iter(self.items))
        with brief.watch((key,)) as ended:
            await lease(brief, (key,))
            await together(partial(_await, ended))

    async def test_who_watches_hears_of_a_lease_that_ended_before_it_waited(
        self, leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        key = next(iter(self.items))
        tokens = await lease(leases, (key,))
        with rival.watch((key,)) as ended:
            await leases.release_many(tokens)
            await together(partial(_await, ended))

    async def _overrule(
        self,
        store: FarStore[K, V],
        leases: Leases[K, V],
        rival: Leases[K, V],
        overrule: Callable[[], Awaitable[None]],
    ) -> None:
        tokens = await lease(leases, tuple(self.items))
        await overrule()
        same(list(await leases.set_many(self.items, tokens)), [], "a value loaded before is not stored")
        same(await found(store, self.items), {}, "nothing is found")
        same(set(await lease(rival, tuple(self.items))), set(self.items), "another gets the leases")


def _related_tokens() -> tuple[bytes, bytes, bytes]:
    """Return the token of a lease, and two that would take it over."""
    random = secrets.token_bytes(12)
    return random + bytes(4), random + b"2222", random + b"3333"


async def _await(ended: Callable[[], Awaitable[object]]) -> None:
    await ended()
