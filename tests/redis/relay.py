"""A server of the tests between a client and Valkey: it counts, waits, and can be silent."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager


class Relay:
    """Passes bytes on to the server at ``port``, once `gate` is open."""

    def __init__(self, port):
        self.target = port
        self.gate = asyncio.Event()
        self.gate.set()
        self.accepted = 0
        self.reached = asyncio.Event()
        self.port = 0
        self._tasks = set()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader, writer):
        self.accepted += 1
        self.reached.set()
        self._tasks.add(asyncio.current_task())
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, forth))
                both.create_task(self._pass(back, writer))
        finally:
            writer.close()
            forth.close()

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.gate.wait()
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def stop(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def relay_to(port):
    """Relay to the server at ``port`` for the length of the block."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.stop()
        await server.wait_closed()
