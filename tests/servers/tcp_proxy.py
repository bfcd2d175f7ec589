"""A TCP proxy for tests, with faults that are switched while it runs; for asyncio.

::

    async with TcpProxy("127.0.0.1", server_port) as proxy:
        ...                        # talk to proxy.port
        proxy.delay(0.02)
        await proxy.heal()

`delay`, `drop`, `refuse`, `cut` and `garble` go on until `heal`; `reset` and `half_close` happen once, to
the connections that are open.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from contextlib import suppress
from typing import Self

from tests.servers.ports import free_port

_PIECE = 1 << 16
_LINGER_NOT = struct.pack("ii", 1, 0)  # closing sends RST, what was not sent yet is thrown away


class TcpProxy:
    """Listens on loopback and passes what it gets on to ``host`` and ``port``.

    :param seed: of all that is random; with the same seed, and the same bytes in the same pieces, the same
        bits are flipped.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.port = free_port()  # the same after each `refuse`
        self.accepted = 0
        self.random = random.Random(seed)
        self.is_dropping = False
        self.cut_after: int | None = None
        self.flip_rate = 0.0
        self.seconds = (0.0, 0.0)
        self._target = (host, port)
        self._listening: socket.socket | None = None
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._no_delay = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self.reset()
        await asyncio.gather(*self._links.values())

    def delay(self, seconds: float, *, jitter: float = 0.0) -> None:
        """Hold each piece, in both directions, for ``seconds`` and up to ``jitter`` more at random.

        A piece is what is there to be read when the one before it has gone.
        """
        self.seconds = (seconds, jitter)

    def drop(self) -> None:
        """Swallow all bytes, in both directions; connections stay open, and new ones are accepted."""
        self.is_dropping = True

    def reset(self) -> None:
        """Break all connections off with RST, to both sides."""
        for link in self._links:
            link.break_off()
        self._end_delays()

    def refuse(self) -> None:
        """Stop listening; connections that are open stay."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None

    def half_close(self) -> None:
        """End what the server says on all connections (FIN); it goes on to hear what the client says."""
        for link in self._links:
            link.end_answers()

    def cut(self, after: int) -> None:
        """Close each connection after the next ``after`` bytes of answers on it."""
        self.cut_after = after
        for link in self._links:
            link.answer_bytes_left = after

    def garble(self, rate: float = 0.01) -> None:
        """Flip one bit of each byte of the answers with a probability of ``rate``, at least 1e-9."""
        self.flip_rate = rate

    def lead_to(self, port: int) -> None:
        """Pass new connections on to ``port``, like a name with a new address; open ones stay."""
        self._target = (self._target[0], port)

    async def heal(self) -> None:
        """End all faults, and listen again at the same port.

        Connections that have lost bytes are reset: no TCP goes on after a hole.
        """
        self.is_dropping = False
        self.cut_after = None
        self.flip_rate = 0.0
        self.seconds = (0.0, 0.0)
        self._end_delays()
        for link in self._links:
            link.answer_bytes_left = None
            if link.has_hole:
                link.break_off()
        if self._listening is None:
            self._listen()

    async def wait(self) -> None:
        """Hold a piece for the given delay, or until delays end."""
        seconds, jitter = self.seconds
        if seconds or jitter:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds + jitter * self.random.random()):
                    await self._no_delay.wait()

    def garbled(self, piece: bytes) -> bytes:
        """Return ``piece`` with bits flipped."""
        if not self.flip_rate:
            return piece
        changed = bytearray(piece)
        at = self._until_next_flip()
        while at < len(changed):
            changed[at] ^= 1 << self.random.randrange(8)
            at += 1 + self._until_next_flip()
        return bytes(changed)

    def _until_next_flip(self) -> int:
        """Return how many bytes stay as they are: geometric, so that not each of them costs a number."""
        if self.flip_rate >= 1.0:
            return 0
        return int(math.log(1.0 - self.random.random()) / math.log1p(-self.flip_rate))

    def _end_delays(self) -> None:
        self._no_delay.set()
        self._no_delay = asyncio.Event()

    def _listen(self) -> None:
        # Not asyncio.start_server: one that is closed while it accepts leaves that connection open, here in
        # Python 3.11 (Server._attach). And a socket has TCP_NODELAY only where it says that it is of TCP.
        self._listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.setblocking(False)
        self._listening.bind(("127.0.0.1", self.port))
        self._listening.listen(100)
        asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            client, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):  # who was to be accepted has gone
            return
        client.setblocking(False)
        self.accepted += 1
        link = _Link(self)
        task = asyncio.get_running_loop().create_task(link.run(client, *self._target))
        self._links[link] = task
        task.add_done_callback(lambda _: self._links.pop(link))


class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.answer_bytes_left = proxy.cut_after
        self.has_hole = False
        self._proxy = proxy
        self._writers: list[asyncio.StreamWriter] = []  # of the client, then of the server
        self._is_over = False
        self._has_ended_answers = False

    async def run(self, client: socket.socket, host: str, port: int) -> None:
        """Pass on what comes, in both directions, until both have ended or one is broken."""
        asked, answer = await asyncio.open_connection(sock=client)
        self._begin(answer)
        try:
            answered, ask = await asyncio.open_connection(host, port)
        except OSError:
            self.break_off()
        else:
            self._begin(ask)
            await asyncio.gather(
                self._pass_on(asked, ask, is_answer=False),
                self._pass_on(answered, answer, is_answer=True),
            )
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()

    def break_off(self) -> None:
        """Send RST to both sides."""
        self._is_over = True
        for writer in self._writers:
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            writer.transport.abort()

    def end_answers(self) -> None:
        """Send FIN to the client."""
        self._has_ended_answers = True
        for client in self._writers[:1]:
            _end(client)

    def _begin(self, writer: asyncio.StreamWriter) -> None:
        """Have ``writer``, too, broken off with the link, also where the link is over already."""
        self._writers.append(writer)
        if self._is_over:
            self.break_off()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            while (piece := await reader.read(_PIECE)) and not self._is_over:
                await self._proxy.wait()
                if self._proxy.is_dropping:
                    self.has_hole = True
                elif not is_answer:
                    await _send(writer, piece)
                elif not await self._answer(writer, piece):
                    break
            _end(writer)
        except OSError:
            self.break_off()  # the other side must hear of it, too

    async def _answer(self, writer: asyncio.StreamWriter, piece: bytes) -> bool:
        """Send what is left of ``piece`` to the client; return whether the connection goes on."""
        if self._has_ended_answers:
            return True
        left = self.answer_bytes_left
        if left is None or len(piece) < left:
            if left is not None:
                self.answer_bytes_left = left - len(piece)
            await _send(writer, self._proxy.garbled(piece))
            return True
        await _send(writer, self._proxy.garbled(piece[:left]))
        for each in self._writers:
            each.close()
        return False


def _end(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        with suppress(OSError):  # the other side has reset the connection, and the loop has not read it yet
            writer.write_eof()


async def _send(writer: asyncio.StreamWriter, piece: bytes) -> None:
    if not writer.transport.is_closing():
        writer.write(piece)
        await writer.drain()
