"""Which of several servers is connected to."""

from __future__ import annotations

import pytest
from anyio import fail_after, move_on_after, sleep, sleep_forever

from async_backfill._common.server_hosts import ServerHosts, with_hosts_as_settings

pytestmark = pytest.mark.anyio


class TargetServerAttributeNotMatched(Exception):  # noqa: N818 - as asyncpg calls it
    """What asyncpg raises for a server that is not as it was asked for."""


class Servers:
    """The ``connect`` of asyncpg to servers in memory: what they are, or the error that they give."""

    def __init__(self, **servers):
        self.servers = servers
        self.asked = []

    async def connect(self, *, host, port, timeout, target_session_attrs):  # noqa: ASYNC109 - asyncpg's
        self.asked.append(host)
        server = self.servers[host]
        if isinstance(server, Exception):
            raise server
        if server == "silent":
            with fail_after(timeout):
                await sleep_forever()
        await sleep(0.1)
        if target_session_attrs not in {server, "any"}:
            raise TargetServerAttributeNotMatched("None of the hosts match")
        return host, port


def hosts(*names):
    return ServerHosts([(name, 5432) for name in names])


async def test_the_server_that_was_used_last_is_asked_first_the_next_time():
    servers, both = Servers(a="standby", b="primary"), hosts("a", "b")
    for _ in range(3):
        assert await both.connect(servers.connect, timeout=4.0, target_session_attrs="primary") == ("b", 5432)
    assert servers.asked == ["a", "b", "b", "b"]
    servers.servers = {"a": "primary", "b": "standby"}
    assert await both.connect(servers.connect, timeout=4.0, target_session_attrs="primary") == ("a", 5432)


async def test_each_server_has_its_share_of_the_time():
    servers = Servers(a="silent", b=OSError("no way"), c="primary")
    with fail_after(1.5):
        assert (await hosts("a", "b", "c").connect(servers.connect, timeout=4.0))[0] == "c"


async def test_who_had_no_time_for_a_silent_server_begins_with_the_next_one():
    servers, both = Servers(a="silent", b="primary"), hosts("a", "b")
    with move_on_after(0.5):
        await both.connect(servers.connect, timeout=4.0)
    with move_on_after(0.5):
        assert (await both.connect(servers.connect, timeout=4.0))[0] == "b"
        return
    pytest.fail("the silent server was asked again")


async def test_a_standby_is_preferred_and_a_primary_taken_where_there_is_none():
    for servers, chosen in (
        (Servers(a="primary", b="standby"), "b"),
        (Servers(a="primary", b=OSError()), "a"),
    ):
        found = await hosts("a", "b").connect(
            servers.connect, timeout=4.0, target_session_attrs="prefer-standby"
        )
        assert found[0] == chosen


async def test_what_each_server_said_is_told_and_a_wrong_setting_at_once():
    servers = Servers(a="silent", b=OSError("no\nway"), c="standby", d=OSError())
    with pytest.raises(ConnectionError) as told:
        await hosts("a", "b", "c", "d").connect(servers.connect, timeout=4.0, target_session_attrs="primary")
    assert str(told.value) == (
        "a:5432: no answer within 1 s; b:5432: no way; c:5432: it is not primary; d:5432: OSError"
    )
    servers.servers["a"] = ValueError("what is that")
    with pytest.raises(ValueError, match="what is that"):
        await hosts("a", "b").connect(servers.connect, timeout=4.0)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("postgresql://u:p@a:1,b/d", "postgresql://u:p@/d?host=a%2Cb&port=1%2C5432"),
        ("postgres://a,b", "postgres:///?host=a%2Cb&port=5432%2C5432"),
        (
            "postgresql+psycopg://a,b/d?x=y,z@w",
            "postgresql+psycopg:///d?x=y,z@w&host=a%2Cb&port=5432%2C5432",
        ),
        ("postgresql://u:a,b@h/d", None),
        ("postgresql://h/d?x=a,b", None),
        ("postgresql://u:p@ss@a,b/d", None),
        ("sqlite:///a,b", None),
        ("mysql://a,b/d", None),
    ],
)
def test_a_list_of_hosts_is_told_from_other_commas(url, read):
    assert with_hosts_as_settings(url) == (read or url)
