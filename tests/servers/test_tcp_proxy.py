"""The TCP proxy of the tests: each of its faults, against an echo server."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio

BIG = bytes(range(256)) * 8192  # 2 MB: more than sockets hold


class Echo:
    """Sends back what it gets, as long as it may; notes how its connections ended."""

    def __init__(self):
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.got = b""
        self.ends = []
        self.tasks = set()

    def accept(self, reader, writer):
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self.tasks.add(task)

    async def _serve(self, reader, writer):
        end = "end"
        try:
            while piece := await reader.read(1 << 16):
                self.got += piece
                await self.may_answer.wait()
                writer.write(piece)
                await writer.drain()
        except ConnectionResetError:
            end = "reset"
        self.ends.append(end)
        writer.close()


@asynccontextmanager
async def echoing(**settings):
    """Start a server and a proxy before it; at the end nothing of both is left."""
    echo = Echo()
    server = await asyncio.start_server(echo.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with TcpProxy("127.0.0.1", port, **settings) as proxy:
            yield proxy, echo
        assert proxy.connections == 0
        await asyncio.gather(*echo.tasks)
    finally:
        server.close()


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def ask(self, content):
        self.writer.write(content)
        await self.writer.drain()
        return await self.reader.readexactly(len(content))

    async def rest(self):
        return await self.reader.read()

    async def hears_nothing(self):
        """Make sure that nothing comes for a while."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await self.reader.read(1)


@asynccontextmanager
async def connected(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of a socket there is no event
            await asyncio.sleep(0.001)


async def test_without_a_fault_all_bytes_come_through():
    async with echoing() as (proxy, echo), connected(proxy) as client:
        for content in (b"a", b"bc" * 1000, BIG):
            writing = asyncio.ensure_future(client.ask(content))
            assert await writing == content

        assert echo.got == b"a" + b"bc" * 1000 + BIG
        assert (proxy.connections, proxy.accepted) == (1, 1)


async def test_the_end_of_the_client_is_passed_on_and_the_last_answer_still_comes():
    async with echoing() as (proxy, echo), connected(proxy) as client:
        client.writer.write(b"last")
        client.writer.write_eof()

        assert await client.rest() == b"last"
        await until(lambda: echo.ends == ["end"])
        await until(lambda: proxy.connections == 0)


async def test_answers_can_be_ended_for_a_client_that_has_just_reset_its_connection():
    async with echoing() as (proxy, _), connected(proxy) as client:
        await client.ask(b"a")
        client.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        client.writer.transport.abort()
        await asyncio.sleep(0)  # the turn that closes it, in which the proxy has read nothing of it yet

        proxy.half_close()

        await until(lambda: proxy.connections == 0)


async def test_connections_do_not_mix():
    async with echoing() as (proxy, _):

        async def talk(number):
            async with connected(proxy) as client:
                for _ in range(20):
                    assert await client.ask(b"%d," % number) == b"%d," % number

        await asyncio.gather(*map(talk, range(20)))

        assert proxy.accepted == 20


async def test_a_delay_holds_what_comes_until_it_is_healed():
    async with echoing() as (proxy, echo), connected(proxy) as client:
        proxy.delay(3600.0)
        client.writer.write(b"late")
        await client.hears_nothing()
        assert echo.got == b""
        await proxy.heal()

        assert await client.reader.readexactly(4) == b"late"


async def test_a_delay_holds_answers_too():
    async with echoing() as (proxy, echo), connected(proxy) as client:
        echo.may_answer.clear()
        client.writer.write(b"late")
        await until(lambda: echo.got == b"late")
        proxy.delay(3600.0, jitter=60.0)
        echo.may_answer.set()
        await client.hears_nothing()
        await proxy.heal()

        assert await client.reader.readexactly(4) == b"late"


async def test_what_is_delayed_for_a_while_comes():
    async with echoing() as (proxy, _), connected(proxy) as client:
        proxy.delay(0.005, jitter=0.005)

        assert [await client.ask(b"a"), await client.ask(b"bc")] == [b"a", b"bc"]


async def test_a_proxy_ends_while_it_delays():
    async with echoing() as (proxy, _), connected(proxy) as client:
        proxy.delay(3600.0, jitter=1.0)
        client.writer.write(b"never")
        await until(lambda: proxy.connections == 1)


async def test_dropped_bytes_never_arrive_and_the_connection_stays_open():
    async with echoing() as (proxy, echo), connected(proxy) as client:
        assert await client.ask(b"before") == b"before"
        proxy.drop()
        client.writer.write(b"swallowed")
        await client.hears_nothing()
        async with connected(proxy) as other:
            other.writer.write(b"too")
            await other.hears_nothing()

        assert echo.got == b"before"


async def test_a_connection_that_lost_bytes_does_not_outlive_the_drop():
    async with echoing() as (proxy, _), connected(proxy) as loser, connected(proxy) as lucky:
        assert await lucky.ask(b"a") == b"a"
        proxy.drop()
        loser.writer.write(b"swallowed")
        await loser.hears_nothing()
        await proxy.heal()

        with pytest.raises(ConnectionResetError):
            await loser.rest()
        assert await lucky.ask(b"b") == b"b"
        async with connected(proxy) as fresh:
            assert await fresh.ask(b"c") == b"c"


async def test_a_reset_is_one_to_both_sides():
    async with echoing() as (proxy, echo), connected(proxy) as one, connected(proxy) as other:
        assert [await one.ask(b"a"), await other.ask(b"b")] == [b"a", b"b"]
        proxy.reset()
        for client in (one, other):
            with pytest.raises(ConnectionResetError):
                await client.rest()
        await until(lambda: echo.ends == ["reset", "reset"])

        async with connected(proxy) as fresh:
            assert await fresh.ask(b"c") == b"c"


async def test_refused_connections_fail_and_open_ones_stay():
    async with echoing() as (proxy, _), connected(proxy) as client:
        assert await client.ask(b"a") == b"a"
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await client.ask(b"b") == b"b"
        await proxy.heal()

        assert proxy.port == port
        async with connected(proxy) as fresh:
            assert await fresh.ask(b"c") == b"c"


async def test_a_server_that_is_not_there_resets_the_client():
    async with echoing() as (proxy, _):
        gone = TcpProxy("127.0.0.1", proxy.port)
        proxy.refuse()
        async with gone, connected(gone) as client:
            with pytest.raises(ConnectionResetError):
                await client.rest()


async def test_after_a_half_close_the_client_hears_nothing_and_is_still_heard():
    async with echoing() as (proxy, echo), connected(proxy) as client:
        assert await client.ask(b"a") == b"a"
        proxy.half_close()
        assert await client.rest() == b""
        client.writer.write(b"still")
        await until(lambda: echo.got == b"astill")

        async with connected(proxy) as fresh:
            assert await fresh.ask(b"c") == b"c"


@pytest.mark.parametrize("after", [0, 1, 5, 100_000])
async def test_a_cut_comes_after_so_many_bytes_of_answers(after):
    async with echoing() as (proxy, _), connected(proxy) as client:
        assert await client.ask(b"before") == b"before"
        proxy.cut(after)
        for one in (client, None):
            if one is None:
                async with connected(proxy) as fresh:
                    assert await answers(fresh) == BIG[:after]
            else:
                assert await answers(one) == BIG[:after]
        await until(lambda: proxy.connections == 0)
        await proxy.heal()
        async with connected(proxy) as healed:
            assert await healed.ask(b"after") == b"after"


async def answers(client):
    """Ask for 2 MB and return what comes until the connection ends, one way or the other."""
    client.writer.write(BIG)
    came = b""
    try:
        while piece := await client.reader.read(1 << 16):
            came += piece
    except ConnectionResetError:
        pass
    return came


async def test_garbling_flips_single_bits_of_answers_only():
    content = bytes(100_000)
    async with echoing(seed=1) as (proxy, echo), connected(proxy) as client:
        proxy.garble(0.01)
        answer = await client.ask(content)
        assert echo.got == content
        await proxy.heal()
        assert await client.ask(content) == content

    flipped = [byte for byte in answer if byte]
    assert {byte.bit_count() for byte in flipped} == {1}
    assert 800 < len(flipped) < 1200
    assert set(flipped) == {1 << bit for bit in range(8)}


@given(
    content=st.binary(max_size=500),
    seed=st.integers(0, 99),
    rate=st.sampled_from([1e-9, 0.001, 0.1, 0.9, 1.0]),
)
def test_the_same_seed_flips_the_same_bits(content, seed, rate):
    def garbled():
        proxy = TcpProxy("127.0.0.1", 1, seed=seed)
        assert proxy.garbled(content) == content
        proxy.garble(rate)
        return proxy.garbled(content)

    once = garbled()
    assert once == garbled()
    assert len(once) == len(content)
    flipped = [(a ^ b).bit_count() for a, b in zip(once, content, strict=True)]
    assert set(flipped) <= {0, 1}
    if rate == 1.0:
        assert sum(flipped) == len(content)


async def test_nothing_is_left_of_a_proxy_that_was_used_and_broken():
    before = asyncio.all_tasks()
    async with echoing() as (proxy, _):
        for _ in range(5):
            async with connected(proxy) as client:
                client.writer.write(BIG)
                await client.reader.read(1)
                proxy.reset()
    gc.collect()

    assert proxy.accepted == 5
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("turns", range(5))
async def test_who_was_still_on_the_way_when_the_proxy_ended_is_broken_off(turns):
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with TcpProxy("127.0.0.1", server.getsockname()[1]) as proxy:
            late = socket.create_connection(("127.0.0.1", proxy.port))
            late.setblocking(False)
            for _ in range(turns):
                await asyncio.sleep(0)
        with late:
            async with asyncio.timeout(10.0):
                with suppress(ConnectionResetError):
                    assert await asyncio.get_running_loop().sock_recv(late, 1) == b""

    assert proxy.connections == 0
