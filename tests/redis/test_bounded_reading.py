"""A text that is longer than a value may be is not read whole."""

from __future__ import annotations

import tracemalloc

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.redis import RedisLeases, RedisStore, connect
from async_backfill.redis._bounded import LengthWatch

pytestmark = pytest.mark.anyio

LIMIT = 100_000
LONG = 20_000_000
ANSWERS = st.recursive(
    st.one_of(
        st.none(), st.integers(), st.binary(max_size=30), st.sampled_from([b"\r\n$99\r\n", b"$", b"\r"])
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture
async def store(valkey_url, namespace):
    async with connect(valkey_url, max_connections=1) as redis:
        store = RedisStore(redis, namespace=namespace, max_value_bytes=LIMIT)
        yield store
        await store.clear()


async def make_long(store, key, length=LONG):
    await store.connection.execute("SETRANGE", store.keyspace.redis_key(key), length - 1, "x")


async def memory_of(call):
    tracemalloc.start()
    try:
        result = await call
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def answer_of(reply):
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    return b"*%d\r\n%b" % (len(reply), b"".join(map(answer_of, reply)))


def longest(reply):
    if isinstance(reply, list):
        return max(map(longest, reply), default=0)
    return len(reply) if isinstance(reply, bytes) else 0


@given(ANSWERS, st.integers(0, 40), st.data())
def test_a_text_that_is_too_long_is_found_however_the_answer_is_cut(reply, most, data):
    answer = answer_of(reply)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    watch = LengthWatch(most)

    assert any(watch.finds_too_long(piece) for piece in pieces) is (longest(reply) > most)


@given(st.lists(st.binary(max_size=20), max_size=4))
def test_an_answer_that_is_garbled_is_left_to_the_parser(pieces):
    watch = LengthWatch(5)
    for piece in pieces:
        watch.finds_too_long(piece)


@pytest.mark.parametrize("keys", [["long"], ["a", "long", "b", "none", "list"]])
async def test_a_value_far_over_the_limit_is_a_miss_that_needs_little_memory(store, keys):
    await store.set_many({"a": 1, "b": "y" * (LIMIT - 100)})
    await make_long(store, "long")
    await store.connection.execute("RPUSH", store.keyspace.redis_key("list"), "x")
    copies, used = await memory_of(store.get_many(keys))

    assert copies.keys() == {"a", "b"} & set(keys)
    assert used < 10 * LIMIT
    assert store.rejected == {"too_large": 1}


async def test_many_values_within_the_limit_are_read_in_one_round_trip(store):
    items = {f"k{number}": "y" * (LIMIT - 100) for number in range(30)}
    await store.set_many(items, ttl=60.0)
    before = await calls(store)

    assert {key: copy.value for key, copy in (await store.get_many(list(items))).items()} == items
    assert await calls(store) == {**before, "mget": before["mget"] + 1}


async def calls(store):
    text = (await store.connection.execute("INFO", "commandstats")).decode()
    return {
        name: int(text.partition(f"cmdstat_{name}:calls=")[2].partition(",")[0] or 0)
        for name in ("mget", "getrange")
    }


async def test_a_limit_of_another_process_does_not_make_every_read_a_miss(store):
    await store.set_many({f"k{number}": number for number in range(500)})
    await make_long(store, "long", LIMIT + 1)
    copies = await store.get_many([*(f"k{number}" for number in range(500)), "long"])

    assert len(copies) == 500


async def test_a_lease_of_a_key_with_a_value_far_over_the_limit_needs_little_memory(store):
    leases = RedisLeases(store)
    await store.set_many({"a": 1})
    await make_long(store, "long")
    tokens, used = await memory_of(leases.acquire_many(["a", "long", "none"], bytes(16)))

    assert tokens.keys() == {"long", "none"}
    assert used < 10 * LIMIT
    assert await leases.set_many({"long": 5}, tokens) == ["long"]
    assert (await store.get_many(["long"]))["long"].value == 5


async def test_a_connection_is_used_again_after_one_was_given_up_for_a_long_value(store):
    await make_long(store, "long")
    for _ in range(3):
        assert await store.get_many(["long"]) == {}
        await store.set_many({"a": 1})
        assert (await store.get_many(["a"]))["a"].value == 1


def test_the_parser_takes_the_answers_of_these_tests():
    reader = hiredis.Reader()
    reader.feed(answer_of([None, 1, b"\r\n$99\r\n", [b""]]))

    assert reader.gets() == [None, 1, b"\r\n$99\r\n", [b""]]
