"""Contract tests for what leases tell, and for the leases of keys that have an outdated value."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Generic

import anyio

from async_backfill.contracts import FarStore, K, Leases, V
from async_backfill.outcomes import ABSENT, Absent, Failed
from async_backfill.testing._calls import PATIENCE
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_PAUSE: Final = 0.05  # so that time goes on also where a wait returns at once
TOKEN: Final = 16
"""The length of a token in bytes."""


class OutdatedLeasesContract(Generic[K, V]):
    """The part of `LeasesContract` about outdated values and about what watchers are told."""

    items: Mapping[K, V]

    async def test_who_gets_no_lease_learns_the_token_of_the_one_there_is(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        first, second, *_ = self.items
        await store.set_many({second: self.items[second]})
        mine, other = secrets.token_bytes(TOKEN), secrets.token_bytes(TOKEN)
        same(dict(await leases.acquire_many((first, second), mine)), {first: mine}, "the free key is leased")
        same(dict(await rival.acquire_many((first, second), other)), {first: mine}, "the token is another's")

    async def test_who_waited_may_keep_a_value_under_the_lease_of_another(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        (key, mine), (_, other) = tuple(self.items.items())[:2]
        tokens = await lease(leases, (key,))
        same(list(await rival.set_many({key: other}, tokens)), [key], "it is kept while the lease is valid")
        same(list(await leases.set_many({key: mine}, tokens)), [], "and has ended that lease")
        same(await found(store, self.items), {key: other}, "the stored value is found")

    async def test_who_watches_is_told_of_an_absent_key_and_of_a_failure(
        self, leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        key = next(iter(self.items))
        for outcome in (ABSENT, Failed(ConnectionError("down"))):
            tokens = await lease(leases, (key,))
            with rival.watch(self.items) as ended:
                await rival.acquire_many((key,), secrets.token_bytes(TOKEN))
                await _until_subscribed(rival, leases, tuple(self.items)[1])
                await leases.release_many(tokens, told={key: outcome})
                told: Mapping[K, Absent | Failed] = {}
                with anyio.fail_after(PATIENCE):
                    while key not in told:
                        told = await ended()
                        await anyio.sleep(_PAUSE)
            same(type(told[key]), type(outcome), "what was told arrives")
            same(set(await lease(rival, (key,))), {key}, "and the key can be leased again")
            await rival.release_many(await rival.acquire_many((key,), b"?" * TOKEN))

    async def test_who_has_no_lease_any_more_tells_nothing(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        first, second, *_ = self.items
        late = await lease(leases, (first,))
        await store.delete_many((first,))
        tokens = await lease(leases, (first, second))
        await leases.release_many({second: tokens[second]})
        heard: dict[K, Absent | Failed] = {}
        with rival.watch((first,)) as ended:
            await _until_subscribed(rival, leases, second)
            await leases.release_many(late, told={first: ABSENT})
            await leases.release_many(tokens)
            for _ in range(3):
                with anyio.move_on_after(_PAUSE):
                    heard.update(await ended())
        same(heard, {}, "nothing is told of the key")

    async def test_an_outdated_value_can_be_read_while_its_key_is_leased(
        self, store: FarStore[K, V], leases: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        (key, old), (_, new) = tuple(self.items.items())[:2]
        await store.set_many({key: old})
        same(dict(await lease(leases, (key,))), {}, "a key with a value is not leased")
        tokens = await lease(leases, (key,), outdated={key})
        same(set(tokens), {key}, "one with an outdated value is")
        same(await found(store, self.items), {key: old}, "the outdated value is found")
        same(dict(await lease(rival, (key,), outdated={key})), {}, "another does not get the lease as well")
        same(list(await leases.set_many({key: new}, tokens)), [key], "the new value is kept")
        same(await found(store, self.items), {key: new}, "and found in place of the old one")

    async def test_a_release_leaves_an_outdated_value_but_not_that_of_an_absent_key(
        self, store: FarStore[K, V], leases: Leases[K, V]
    ) -> None:
        (key, old), *_ = self.items.items()
        await store.set_many({key: old})
        tokens = await lease(leases, (key,), outdated={key})
        await leases.release_many(tokens, told={key: Failed(ConnectionError("down"))})
        same(await found(store, self.items), {key: old}, "the outdated value is still there")
        tokens = await lease(leases, (key,), outdated={key})
        await leases.release_many(tokens, told={key: ABSENT})
        same(await found(store, self.items), {}, "a key that is absent has no value any more")

    async def test_an_outdated_value_goes_with_the_lease_of_a_value_that_is_not_kept(
        self, store: FarStore[K, V], leases: Leases[K, V]
    ) -> None:
        (key, old), (other, put) = tuple(self.items.items())[:2]
        await store.set_many({key: old, other: old})
        tokens = await lease(leases, (key, other), outdated={key, other})
        await store.set_many({other: put})
        await leases.release_many(tokens, unkept=(key, other))
        same(await found(store, self.items), {other: put}, "it goes with a lease that is still held only")
        same(set(await lease(leases, (key,))), {key}, "and the key can be leased again")

    async def test_an_outdated_value_outlives_a_lease_that_ends_by_itself(
        self, store: FarStore[K, V], brief: Leases[K, V], rival: Leases[K, V]
    ) -> None:
        (key, old), *_ = self.items.items()
        await store.set_many({key: old})
        tokens = await lease(brief, (key,), outdated={key})
        with rival.watch((key,)) as ended, anyio.fail_after(PATIENCE):
            while not (new := await lease(rival, (key,), outdated={key})):
                await ended()
                await anyio.sleep(_PAUSE)
        same(list(await brief.set_many({key: old}, tokens)), [], "the first lease is over")
        same(await found(store, self.items), {key: old}, "the value is still there")
        holds("the second lease is held", kept=bool(await rival.set_many({key: old}, new)))


async def lease(leases: Leases[K, V], keys: Sequence[K], outdated: Collection[K] = ()) -> dict[K, bytes]:
    """Lease ``keys`` under a new token; return it for each key that was leased."""
    token = secrets.token_bytes(TOKEN)
    with anyio.fail_after(PATIENCE):
        tokens = await leases.acquire_many(keys, token, outdated=outdated)
    return {key: held for key, held in tokens.items() if held == token}


async def found(store: FarStore[K, V], keys: Collection[K]) -> dict[K, V]:
    """Return the values of those of ``keys`` that ``store`` has."""
    with anyio.fail_after(PATIENCE):
        copies = await store.get_many(tuple(keys))
    return {key: copy.value for key, copy in copies.items()}


async def _until_subscribed(rival: Leases[K, V], leases: Leases[K, V], key: K) -> None:
    """Wait until ``rival`` hears of leases that end: until then a watcher only has to look again."""
    with rival.watch((key,)) as ended, anyio.fail_after(PATIENCE):
        heard: Mapping[K, Absent | Failed] = {}
        while not heard:
            await leases.release_many(await lease(leases, (key,)), told={key: ABSENT})
            heard = await ended()
            await anyio.sleep(_PAUSE)
