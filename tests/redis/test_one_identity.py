"""One identity of a key in Redis: entries, leases and removals agree with Python on which keys are one."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, FarTier, FreshnessPolicy
from async_backfill.contracts import KeyType
from async_backfill.redis import RedisInvalidations, RedisLeases, RedisStore, connect
from tests.common.key_values import ByMail, ByName, Markup, keys

pytestmark = pytest.mark.anyio

TOKEN, OTHER_TOKEN = bytes(16), bytes(range(16))

PATIENCE = 20.0
GOOD = [f"key{number}" for number in range(50)]


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_whatever_keys_are_stored_redis_holds_what_a_dict_would(valkey_url, namespace):
    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(st.tuples(keys, st.integers(0, 9)), min_size=1, max_size=6),
        st.lists(keys, min_size=1, max_size=6),
    )
    def holds(pairs, asked):
        async def check():
            items = {}
            async with connect(valkey_url) as redis:
                store = RedisStore(redis, namespace=namespace)
                await store.clear()
                for key, value in pairs:  # one by one, so that an equal key replaces the one before
                    items[key] = value
                    await store.set_many({key: value}, ttl=60.0)
                both = tuple(dict.fromkeys([*items, *asked]))
                found = await store.get_many(both)
                assert {key: copy.value for key, copy in found.items()} == items
                gone = tuple(dict.fromkeys(asked))
                await store.delete_many(gone)
                found = await store.get_many(both)
                assert set(found) == items.keys() - set(gone)
                tokens = await RedisLeases(store).acquire_many(both, TOKEN)
                assert tokens.keys() == set(both) - set(found)
                assert await RedisLeases(store).acquire_many(both, OTHER_TOKEN) == tokens

        anyio.run(check)

    holds()


class Source:
    def __init__(self):
        self.asked = []

    async def load_many(self, keys, /):
        self.asked += keys
        return dict.fromkeys(keys, "loaded")


@pytest.mark.parametrize("with_leases", [False, True])
@pytest.mark.parametrize("odd", [object(), float("nan"), Markup("odd")])
async def test_one_odd_key_spoils_no_other_of_its_batch(valkey_url, namespace, odd, with_leases):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        await store.set_many(dict.fromkeys(GOOD, "shared"), ttl=60.0)
        source = Source()
        tier = FarTier(store=store, timeout=PATIENCE, leases=RedisLeases(store) if with_leases else None)
        async with BackfillCache(source, far=tier, freshness=FreshnessPolicy(ttl=60.0)) as cache:
            with anyio.fail_after(PATIENCE):
                found = await cache.get_many([odd, *GOOD])
            fresh = [f"new {key}" for key in GOOD]
            await cache.get_many([odd, *fresh])
            await cache.settle()

            assert found == {odd: "loaded"} | dict.fromkeys(GOOD, "shared")
            assert source.asked == [odd, *fresh]
            assert len(await store.get_many(fresh)) == len(fresh)
            assert cache.stats.far.failures == 0


async def test_an_odd_key_is_counted_and_disturbs_no_call_of_the_store(valkey_url, namespace):
    odd = object()
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        await store.set_many({"a": 1, odd: 2})
        await store.set_many({odd: 2})
        await store.delete_many([odd])

        assert set(await store.get_many([odd, "a"])) == {"a"}
        assert await store.get_many([odd]) == {}
        await store.delete_many([odd, "a"])
        assert await store.get_many(["a"]) == {}
        assert dict(store.refused) == {"object": 6}


async def test_an_odd_key_is_leased_to_everybody_because_it_is_shared_with_nobody(valkey_url, namespace):
    odd = object()
    async with connect(valkey_url) as redis:
        leases = RedisLeases(RedisStore(redis, namespace=namespace))
        for others in (["a"], []):
            tokens = await leases.acquire_many([odd, *others], TOKEN)
            assert set(tokens) == {odd, *others}
            assert list(await leases.set_many(dict.fromkeys(tokens, 1), tokens)) == others
        tokens = await leases.acquire_many([odd], TOKEN)
        await leases.release_many(tokens)
        with leases.watch([odd]):
            pass


async def test_an_equal_key_of_another_type_is_invalidated_in_every_tier(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        tiers = [
            FarTier(
                store=RedisStore(redis, namespace=namespace),
                invalidations=RedisInvalidations(redis, namespace=namespace),
                timeout=PATIENCE,
            )
            for _ in range(2)
        ]
        source = Source()
        async with (
            BackfillCache(source, far=tiers[0]) as one,
            BackfillCache(source, far=tiers[1]) as other,
        ):
            with anyio.fail_after(PATIENCE):
                await one.get(Markup("a"))
                await one.settle()
                await other.get("a")
                source.asked.clear()
                while not source.asked:
                    await one.invalidate(Markup("a"))
                    await anyio.sleep(0.01)
                    await other.get("a")


async def test_keys_of_two_classes_do_not_answer_for_each_other(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        store = RedisStore(redis, namespace=namespace)
        await store.set_many({ByName("ada"): "by name", "ada": "text"})

        found = await store.get_many([ByMail("ada"), ByName("ada"), "ada", ("ada",)])
        assert {key: copy.value for key, copy in found.items()} == {ByName("ada"): "by name", "ada": "text"}


class AnyCase(str):
    __slots__ = ()

    def __eq__(self, other):
        return isinstance(other, AnyCase) and self.lower() == other.lower()

    def __hash__(self):
        return hash(self.lower())


async def test_a_key_type_of_the_users_own_is_the_same_in_store_leases_and_messages(valkey_url, namespace):
    any_case = KeyType(type=AnyCase, name="any case", encode=str.lower, decode=AnyCase)
    heard = []
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        store = RedisStore(redis, namespace=namespace, key_type=any_case)
        await store.set_many({AnyCase("Ada"): 1})
        assert set(await store.get_many([AnyCase("ADA"), "ada"])) == {AnyCase("ada")}
        assert set(await RedisLeases(store).acquire_many([AnyCase("ADA"), "ada"], TOKEN)) == {"ada"}
        messages = RedisInvalidations(redis, namespace=namespace, key_type=any_case)
        tasks.start_soon(messages.listen, heard.append)
        sender = RedisInvalidations(redis, namespace=namespace, key_type=any_case)
        with anyio.fail_after(PATIENCE):
            while not any(keys == [AnyCase("ada")] for keys in heard):
                await sender.publish([AnyCase("ADA")])
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
