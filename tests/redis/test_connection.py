"""The connection: each reply belongs to its command, also after a cancellation, a loss or a refusal."""

from __future__ import annotations

import asyncio
import random
import ssl

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.errors import ConfigurationError
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisReplyError, RedisUnavailableError
from tests.servers.ports import free_port
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


def proxy_to(url):
    return TcpProxy("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))


def by_way_of(proxy, **settings):
    return connect(f"redis://127.0.0.1:{proxy.port}/0", **settings)


async def test_a_command_has_its_answer(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        assert await redis.execute("ECHO", b"a\0\r\n\xff") == b"a\0\r\n\xff"
        assert await redis.execute("EXISTS", namespace) == 0
        assert await redis.execute("GET", namespace) is None


async def test_a_refused_command_raises_what_the_server_said(valkey_url):
    async with connect(valkey_url) as redis:
        with pytest.raises(RedisReplyError, match="unknown command") as refused:
            await redis.execute("NOSUCHCOMMAND")

        assert refused.value.code == "ERR"
        assert await redis.execute("ECHO", "on") == b"on"


async def test_the_answers_of_a_pipeline_stand_in_its_order_and_a_refusal_is_one_of_them(
    valkey_url, namespace
):
    async with connect(valkey_url) as redis:
        answers = await redis.pipeline(
            [
                ("SET", namespace, 1, "PX", 1000),
                ("LPUSH", namespace, 2),
                ("GET", namespace),
                ("DEL", namespace),
            ]
        )

    assert [answers[0], *answers[2:]] == [b"OK", b"1", 1]
    assert answers[1].code == "WRONGTYPE"


async def test_an_answer_of_another_length_was_garbled_and_takes_its_socket_along(valkey_url):
    async with connect(valkey_url, max_connections=1) as redis:
        identity = await redis.execute("CLIENT", "ID")
        with pytest.raises(RedisUnavailableError, match="garbled"):
            await redis.pipeline([("MGET", "a", "b")], lengths=[3])
        with pytest.raises(RedisUnavailableError, match="garbled"):
            await redis.pipeline([("PING",)], lengths=[4])

        assert await redis.execute("CLIENT", "ID") >= identity + 2
        assert await redis.pipeline([("MGET", "a", "b")], lengths=[2]) == [[None, None]]


async def test_an_empty_pipeline_sends_nothing():
    async with connect(f"redis://127.0.0.1:{free_port()}") as redis:
        assert await redis.pipeline([]) == []


async def test_a_script_runs_also_where_the_server_has_forgotten_it(valkey_url):
    async with connect(valkey_url) as redis:
        for _ in range(2):
            await redis.execute("SCRIPT", "FLUSH")
            for _ in range(2):
                assert await redis.script("return {KEYS[1], ARGV[1]}", [b"k"], ["v"]) == [b"k", b"v"]


async def test_a_script_that_fails_raises_what_the_server_said(valkey_url):
    async with connect(valkey_url) as redis:
        with pytest.raises(RedisReplyError, match="stop"):
            await redis.script("return redis.error_reply('MINE stop')", [])


async def test_a_cancelled_command_never_answers_another(valkey_url):
    """At any step of it: each of 40 workers asks 50 times, and gives up after a few turns of the loop."""
    dice = random.Random(6)
    answered = 0

    async def ask(redis, worker):
        nonlocal answered
        for number in range(50):
            text = f"{worker}-{number}".encode()
            task = asyncio.create_task(redis.execute("ECHO", text))
            for _ in range(dice.randrange(20)):
                await asyncio.sleep(0)
            if dice.random() < 0.5:
                task.cancel()
            try:
                assert await task == text
                answered += 1
            except asyncio.CancelledError:
                assert task.cancelled()

    async with connect(valkey_url, max_connections=4) as redis, asyncio.TaskGroup() as workers:
        for worker in range(40):
            workers.create_task(ask(redis, worker))

    assert answered > 500


async def test_the_answer_of_a_command_that_was_cancelled_while_it_waited_goes_nowhere(valkey_url, namespace):
    async with connect(valkey_url, max_connections=1) as redis, connect(valkey_url) as other:
        waiting = asyncio.create_task(redis.execute("BLPOP", namespace, 5))
        while b"blpop" not in await other.execute("CLIENT", "LIST"):
            pass
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await other.execute("RPUSH", namespace, "late")

        assert await redis.execute("ECHO", "mine") == b"mine"
        await other.execute("DEL", namespace)


async def test_no_more_commands_are_in_progress_than_there_are_connections(valkey_url):
    async with proxy_to(valkey_url) as proxy, by_way_of(proxy, max_connections=3) as redis:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(redis.execute("ECHO", number)) for number in range(50)]

        assert [int(task.result()) for task in asked] == list(range(50))
        assert proxy.accepted <= 3


async def test_a_deadline_shorter_than_the_connecting_does_not_stop_it(valkey_url):
    async with proxy_to(valkey_url) as proxy, by_way_of(proxy) as redis:
        proxy.delay(3600.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await redis.execute("ECHO", "early")
        await proxy.heal()

        assert await redis.execute("ECHO", "later") == b"later"
        assert proxy.accepted == 1


async def test_those_who_wait_for_a_server_that_is_down_ask_it_once():
    async with TcpProxy("127.0.0.1", free_port()) as proxy, by_way_of(proxy, max_connections=20) as redis:
        outcomes = await asyncio.gather(*[redis.execute("PING") for _ in range(20)], return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [RedisUnavailableError] * 20
        assert len({id(outcome) for outcome in outcomes}) == 20
        assert proxy.accepted == 1


async def test_a_server_that_says_nothing_is_given_up_in_time(valkey_url):
    async with proxy_to(valkey_url) as proxy, by_way_of(proxy, connect_timeout=0.02) as redis:
        proxy.delay(3600.0)

        with pytest.raises(RedisUnavailableError, match=r"not connected within 0\.02 s"):
            await redis.execute("PING")


async def test_a_server_that_was_lost_is_used_again_once_it_is_back(valkey):
    server = valkey()
    async with connect(server.url) as redis:
        for _ in range(3):
            assert await redis.execute("PING") == b"PONG"
            server.kill()
            with pytest.raises(RedisUnavailableError):
                await redis.execute("PING")
            server.restart()
        assert await redis.execute("PING") == b"PONG"


async def test_connections_that_the_server_ended_while_nobody_used_them_are_noticed(valkey):
    server = valkey()
    async with connect(server.url) as redis, connect(server.url) as other:
        await asyncio.gather(*[redis.execute("PING") for _ in range(5)])
        assert await other.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") > 1
        await asyncio.sleep(0.01)

        assert await asyncio.gather(*[redis.execute("PING") for _ in range(5)]) == [b"PONG"] * 5


async def test_what_waits_when_the_connection_is_closed_is_refused(valkey_url):
    async with proxy_to(valkey_url) as proxy:
        proxy.delay(3600.0)
        redis = by_way_of(proxy)
        waiting = asyncio.create_task(redis.execute("PING"))
        while not proxy.accepted:  # noqa: ASYNC110 - the proxy has nothing to wait for
            await asyncio.sleep(0.001)
        await redis.aclose()

        for refused in (waiting, redis.execute("PING")):
            with pytest.raises(RedisUnavailableError, match="is closed"):
                await refused


async def test_a_closed_connection_has_no_subscriptions(valkey_url):
    async with connect(valkey_url) as redis:
        pass
    with pytest.raises(RedisUnavailableError, match="is closed"):
        async with redis.subscribe(b"news"):
            pass


async def test_nothing_is_left_running_behind_a_closed_connection(valkey_url):
    before = asyncio.all_tasks()
    async with connect(valkey_url) as redis:
        task = asyncio.create_task(redis.execute("PING"))
        await asyncio.sleep(0)
        task.cancel()

    assert asyncio.all_tasks() - before <= {task}


async def test_a_message_reaches_who_subscribed_before_it(valkey_url, namespace):
    one, two = f"{namespace}!1".encode(), f"{namespace}!2".encode()
    async with connect(valkey_url) as redis, redis.subscribe(one, two) as messages:
        await redis.execute("PUBLISH", one, b"\0first")
        await redis.execute("PUBLISH", two, "second")

        assert [await anext(messages), await anext(messages)] == [(one, b"\0first"), (two, b"second")]


async def test_no_message_is_lost_between_the_confirmations_of_two_channels(valkey_url, namespace):
    channels = [f"{namespace}!{number}".encode() for number in range(500)]
    async with connect(valkey_url) as redis:

        async def publish():
            while not await redis.execute("PUBLISH", channels[0], "early"):
                pass

        publishing = asyncio.create_task(publish())
        async with redis.subscribe(*channels) as messages:
            await publishing
            await redis.execute("PUBLISH", channels[-1], "late")

            assert [await anext(messages), await anext(messages)] == [
                (channels[0], b"early"),
                (channels[-1], b"late"),
            ]


async def test_a_quiet_subscription_lives_as_long_as_the_server_answers(valkey):
    async with connect(valkey().url) as redis, redis.subscribe(b"channel", heartbeat=0.1) as messages:
        waiting = asyncio.ensure_future(anext(messages))
        while b"cmdstat_ping:calls=2," not in await redis.execute("INFO", "commandstats"):
            pass
        await redis.execute("PUBLISH", "channel", "still here")

        assert await waiting == (b"channel", b"still here")


async def test_a_subscription_that_is_not_allowed_is_refused_at_once(valkey):
    server = valkey("--user", "app", "on", ">sesame", "~*", "+@all", "resetchannels")
    async with connect(server.url.replace("//", "//app:sesame@")) as redis:
        with pytest.raises(RedisReplyError) as refused:
            async with redis.subscribe(b"one", b"two"):
                pass

        assert refused.value.code == "NOPERM"


async def test_a_subscription_to_a_server_that_fell_silent_ends(valkey_url, namespace):
    async with (
        proxy_to(valkey_url) as proxy,
        by_way_of(proxy) as redis,
        redis.subscribe(namespace.encode(), heartbeat=0.02) as messages,
    ):
        proxy.delay(3600.0)

        with pytest.raises(RedisUnavailableError, match="the server was silent") as silent:
            await anext(messages)
    assert str(silent.value).count("redis at") == 1


async def test_a_subscription_to_a_server_that_was_killed_ends(valkey):
    server = valkey()
    async with connect(server.url) as redis, redis.subscribe(b"channel") as messages:
        server.kill()

        with pytest.raises(RedisUnavailableError):
            await anext(messages)


@pytest.mark.parametrize("user", ["", ":wrong-sesame@", "default:wrong-sesame@"])
async def test_a_wrong_password_is_a_clear_error_that_does_not_show_it(valkey, user):
    server = valkey("--requirepass", "right-sesame")
    url = server.url.replace("//", f"//{user}")
    async with connect(url) as redis:
        with pytest.raises(RedisReplyError, match=f"redis at 127.0.0.1:{server.port}") as refused:
            await redis.execute("PING")

        assert refused.value.code == ("WRONGPASS" if user else "NOAUTH")
        shown = [repr(redis), repr(refused.value), str(refused.value), repr(refused.value.__cause__)]
        assert "sesame" not in "".join(shown)


async def test_a_right_password_is_let_in(valkey):
    server = valkey("--requirepass", "a:b/c@%")
    async with connect(server.url.replace("//", "//:a%3Ab%2Fc%40%25@")) as redis:
        assert await redis.execute("PING") == b"PONG"


async def test_a_user_who_may_ask_for_little_can_still_use_the_rest(valkey):
    server = valkey("--user", "app", "on", ">sesame", "~*", "+get", "+set", "+echo")
    async with connect(server.url.replace("//", "//app:sesame@")) as redis:
        assert await redis.execute("ECHO", "on") == b"on"
        assert not (await redis.facts()).msetex
        with pytest.raises(RedisReplyError) as refused:
            await redis.execute("FLUSHALL")

        assert refused.value.code == "NOPERM"


async def test_a_server_says_what_it_has(valkey_url):
    async with connect(valkey_url) as redis:
        known = await redis.execute("COMMAND", "INFO", "MSETEX")

        assert (await redis.facts()).msetex is bool(known[0])
        assert (await redis.facts()).slots is None


async def test_a_socket_in_the_file_system_will_do(valkey, tmp_path):
    valkey("--unixsocket", str(tmp_path / "s"))
    async with connect(f"unix://{tmp_path}/s") as redis:
        assert await redis.execute("PING") == b"PONG"
        assert repr(redis) == f"RedisConnection('{tmp_path}/s')"


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_the_certificate_and_the_name_of_a_server_are_verified(scheme):
    context = connect(f"{scheme}://host:6380")._dialer._tls.get()

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        "localhost:6379",
        "http://:sesame@host",
        "redis://:sesame@host:port/0",
        "redis://:sesame@host/database",
        "redis://:sesame@[host/0",
        "redis://:sesame@host/0?nonsense=1",
        "redis://:sesame@host/0?db=x",
        "redis://:ses/ame#@host/0",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError, match=r"^url: ") as refused:
        connect(url)

    assert "ses" not in str(refused.value).replace("unused", "")


@pytest.mark.parametrize(
    "settings", [{"max_connections": 0}, {"connect_timeout": 0.0}, {"connect_timeout": "1"}]
)
def test_a_setting_outside_of_what_is_allowed_is_refused(settings):
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        connect("redis://host", **settings)
