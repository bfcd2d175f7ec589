"""Invalidations in Redis, beyond the contract: large messages, unreadable messages, and silence."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import anyio
import anyio.lowlevel
import msgspec
import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, ConfigurationError, FarTier, MappingSource
from async_backfill.errors import KeyRefusedError
from async_backfill.redis.connection import connect
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.store import RedisStore
from tests.common.key_values import Markup, Point, are_one
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


@dataclass(frozen=True)
class Seat:
    row: str
    number: int


class Heard:
    """What a listener was told to forget, in its order."""

    def __init__(self):
        self.keys = []

    def forget(self, keys):
        self.keys.append(keys)

    async def count(self, least):
        with anyio.fail_after(PATIENCE):
            while len(self.keys) < least:  # noqa: ASYNC110 - what is waited for is in another process
                await anyio.sleep(0.005)


async def until_forgotten(cache, key, publish):
    with anyio.fail_after(PATIENCE):
        while cache.peek(key) is not None:
            await publish([key])
            await anyio.sleep(0.005)


async def test_caches_with_one_object_hear_each_other_and_it_but_not_themselves(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        object_of_both = RedisInvalidations(redis, namespace=namespace)
        store = RedisStore(redis, namespace=namespace)
        far = FarTier(store=store, invalidations=object_of_both, timeout=PATIENCE)
        async with (
            BackfillCache(MappingSource({}), far=far) as one,
            BackfillCache(MappingSource({}), far=far) as two,
        ):
            for cache in (
                one,
                two,
                one,
                two,
            ):  # twice, because one that has just connected forgets everything
                await cache.put("marker", 1)
                await until_forgotten(cache, "marker", object_of_both.publish)
            await two.put("k", "old")
            await one.put("k", "new")
            await until_forgotten(two, "k", lambda _: anyio.lowlevel.checkpoint())
            await one.put("marker", 1)
            await until_forgotten(one, "marker", object_of_both.publish)

            assert one.peek("k") == "new"
            assert await two.get("k") == "new"
            await redis.execute("PUBLISH", f"{namespace}!invalidations", b"unreadable")
            await until_forgotten(one, "k", lambda _: anyio.lowlevel.checkpoint())
            assert object_of_both.rejected["other_version"] >= 1
        await store.clear()


async def test_many_keys_are_several_messages(valkey_url, namespace):
    keys = [f"{number:06}" + "x" * 1000 for number in range(2000)]
    heard = Heard()
    async with connect(valkey_url) as one, connect(valkey_url) as other:
        listener = RedisInvalidations(other, namespace=namespace, key_type=str)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.listen, heard.forget)
            await heard.count(1)
            await RedisInvalidations(one, namespace=namespace, key_type=str).publish(keys)
            await heard.count(2 + 2000 // 19)  # and that all are to be read anew
            tasks.cancel_scope.cancel()

    assert heard.keys[0] is None
    assert [key for some in heard.keys[1:] for key in some] == keys
    assert max(map(len, heard.keys[1:])) == 19  # so that others run in between


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b"\xc1" * 20, b"x" * 8 + b"\x81\x01\x02", b"x" * 8 + b"\x02", b"x" * 8 + b"\x02\x81\x01\x02"),
        *(b"x" * 8 + b"\x02" + msgspec.msgpack.encode([packed]) for packed in (b"\xc1", b"", b"(9:n")),
        *(b"x" * 8 + version + msgspec.msgpack.encode([b":a"]) for version in (b"", b"\x01", b"\x03")),
    ],
)
async def test_a_message_that_cannot_be_read_means_every_key(valkey_url, namespace, message):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        await redis.execute("PUBLISH", f"{namespace}!invalidations", message)
        await heard.count(2)
        tasks.cancel_scope.cancel()

    assert heard.keys == [None, None]


SECRET = b"of this fleet only, as it is"


def message(*keys, version=b"\x02"):
    return b"x" * 8 + version + msgspec.msgpack.encode(list(keys))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"x" * 8 + b"\x02\xc1", "unreadable"),
        (message(b"\xc1"), "unreadable"),
        (message(b"(1:(" * 600), "unreadable"),
        (b"x" * 8 + b"\x02" + b"\x91" * 100_000, "unreadable"),
        (b"x" * 8 + b"\x02\xdd\xff\xff\xff\xff", "unreadable"),
        (message(b"F" + b"f" * 200_000 + b"/" + b"7" * 200_000), "unreadable"),
        (message(b"#" + b"9" * 400_000), "unreadable"),
        (message(b":a", version=b"\x01"), "other_version"),
        (message(b":a", version=b"\x03"), "signed"),
        (b"", "other_version"),
    ],
    ids=lambda value: value if isinstance(value, str) else ascii(value[8:18]),
)
async def test_bad_messages_are_counted_said_once_a_second_and_end_nothing(
    valkey_url, namespace, payload, reason, caplog
):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        for _ in range(20):
            await redis.execute("PUBLISH", f"{namespace}!invalidations", payload)
        await RedisInvalidations(redis, namespace=namespace).publish(["a"])
        await heard.count(22)
        tasks.cancel_scope.cancel()

    assert heard.keys == [None] * 21 + [["a"]]
    assert listener.rejected == {reason: 20}
    assert 1 <= len(caplog.messages) < 20
    assert all(line.startswith(f"a message on {namespace}!invalidations ") for line in caplog.messages)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        *((message(b":a"), "unsigned"), (b"x" * 8 + b"\x02\xc0", "unsigned"), (b"", "unsigned")),
        *(
            (message(b":a", version=b"\x03"), "badly_signed"),
            (b"x" * 8 + b"\x03" + bytes(32), "badly_signed"),
        ),
    ],
)
async def test_with_a_signing_key_a_forged_message_is_ignored(valkey_url, namespace, payload, reason):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace, signing_key=SECRET)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        await redis.execute("PUBLISH", f"{namespace}!invalidations", payload)
        await RedisInvalidations(redis, namespace=namespace, signing_key=SECRET).publish(["a"])
        await heard.count(2)
        tasks.cancel_scope.cancel()

    assert heard.keys == [None, ["a"]]
    assert listener.rejected == {reason: 1}


@pytest.mark.parametrize(("key", "other"), [(SECRET + b"!", "{}"), (SECRET, "{}-2")])
async def test_a_message_signed_with_another_key_or_for_another_channel_is_ignored(
    valkey_url, namespace, key, other
):
    heard = Heard()
    there, here = f"{other.format(namespace)}!invalidations".encode(), f"{namespace}!invalidations".encode()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace, signing_key=SECRET)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        async with redis.subscribe(there) as messages:
            stranger = RedisInvalidations(redis, namespace=other.format(namespace), signing_key=key)
            await stranger.publish(["a"])
            _, seen = await anext(messages)
        if there != here:
            await redis.execute("PUBLISH", here, seen)
        await RedisInvalidations(redis, namespace=namespace, signing_key=SECRET).publish(["b"])
        await heard.count(2)
        tasks.cancel_scope.cancel()

    assert heard.keys == [None, ["b"]]
    assert listener.rejected == {"badly_signed": 1}


async def test_a_message_of_megabytes_is_not_read_and_all_is_forgotten(valkey_url, namespace):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        await redis.execute("PUBLISH", f"{namespace}!invalidations", message(b":" + b"x" * 3_000_000))
        await heard.count(2)
        await RedisInvalidations(redis, namespace=namespace).publish(["a"])
        await heard.count(3)
        tasks.cancel_scope.cancel()

    assert heard.keys == [None, None, ["a"]]
    assert listener.rejected == {}


async def test_a_key_that_is_too_long_for_a_message_means_every_key(valkey_url, namespace):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        tasks.start_soon(RedisInvalidations(redis, namespace=namespace).listen, heard.forget)
        await heard.count(1)
        await RedisInvalidations(redis, namespace=namespace).publish(["a", "x" * 3_000_000])
        await heard.count(2)
        tasks.cancel_scope.cancel()

    assert heard.keys == [None, None]


async def test_while_messages_pour_in_the_loop_has_its_turns(valkey_url, namespace):
    heard, turns = Heard(), []
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace)

        async def turn():
            while True:
                turns.append(len(heard.keys))
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        tasks.start_soon(turn)
        flood = ("PUBLISH", f"{namespace}!invalidations", message(b":a"))
        await redis.pipeline([flood] * 5_000)
        await heard.count(5_001)
        tasks.cancel_scope.cancel()

    assert max(later - earlier for earlier, later in itertools.pairwise(turns)) <= 2


@pytest.mark.parametrize("key", [Seat("A", 7), ("a", Seat("A", 7)), object()])
async def test_a_key_that_others_could_not_make_again_is_refused_and_the_rest_is_heard(
    valkey_url, namespace, key
):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        with pytest.raises(KeyRefusedError) as refused:
            await RedisInvalidations(redis, namespace=namespace).publish(["a", key, "b"])
        await heard.count(2)
        tasks.cancel_scope.cancel()

    assert refused.value.keys == (key,)
    assert heard.keys == [None, ["a", "b"]]


@pytest.mark.parametrize("key", [Markup("a"), UUID(int=7), True, Decimal("0.1"), frozenset({1}), Point(1, 2)])
async def test_a_key_is_heard_as_one_that_is_equal_without_its_type_being_said(valkey_url, namespace, key):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        tasks.start_soon(RedisInvalidations(redis, namespace=namespace).listen, heard.forget)
        await heard.count(1)
        await RedisInvalidations(redis, namespace=namespace).publish([key])
        await heard.count(2)
        tasks.cancel_scope.cancel()

    assert are_one(heard.keys[1][0], key)


@pytest.mark.parametrize(
    ("key_type", "key"), [(UUID, UUID(int=7)), (Seat, Seat("A", 7)), (tuple[str, UUID], ("a", UUID(int=7)))]
)
async def test_a_key_of_a_type_that_was_said_is_heard_as_it_was(valkey_url, namespace, key_type, key):
    heard = Heard()
    async with connect(valkey_url) as redis, anyio.create_task_group() as tasks:
        listener = RedisInvalidations(redis, namespace=namespace, key_type=key_type)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        await RedisInvalidations(redis, namespace=namespace, key_type=key_type).publish([key])
        await heard.count(2)
        tasks.cancel_scope.cancel()

    assert heard.keys == [None, [key]]


async def test_a_connection_that_fell_silent_has_everything_forgotten_again_and_again(
    valkey_url, namespace, caplog
):
    heard = Heard()
    port = int(valkey_url.rpartition(":")[2].partition("/")[0])
    async with (
        TcpProxy("127.0.0.1", port) as proxy,
        connect(f"redis://127.0.0.1:{proxy.port}") as redis,
        anyio.create_task_group() as tasks,
    ):
        listener = RedisInvalidations(redis, namespace=namespace, key_type=str, bound=0.2)
        tasks.start_soon(listener.listen, heard.forget)
        await heard.count(1)
        proxy.drop()
        await heard.count(4)
        await proxy.heal()
        lost = len(heard.keys)
        await heard.count(lost + 1)
        tasks.cancel_scope.cancel()

    assert set(heard.keys) == {None}
    assert "no invalidations are received until it is connected again" in caplog.text


@pytest.mark.parametrize(
    ("setting", "value"), [("bound", 0.0), ("bound", "1"), ("namespace", "a b"), ("signing_key", b"short")]
)
async def test_a_setting_outside_of_what_is_allowed_is_refused(setting, value):
    async with connect("redis://127.0.0.1:1") as redis:
        with pytest.raises(ConfigurationError, match=setting):
            RedisInvalidations(redis, **{"namespace": "shop", setting: value})
