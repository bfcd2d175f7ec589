"""A process with a cache that is read, and its page, for a browser: it prints its address."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn

from async_backfill import BackfillCache, BackfillPolicy, MappingSource
from async_backfill.admin import Application


async def main():
    source = MappingSource({n: f"name {n}" for n in range(20_000)})
    settings = {"capacity": 10_000, "max_backfills": 1, "miss_threshold": 0.2}
    settings["backfill"] = BackfillPolicy(probation=True)
    async with BackfillCache(source, scan=source, **settings) as cache:

        async def read():
            for n in range(10**9):
                await cache.get(n * 7 % 24_000)
                for _ in range(1 + n // 700 % 3):
                    await cache.get(0)
                await asyncio.sleep(0.02)

        listener = socket.create_server(("127.0.0.1", 0))
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/\n")
        sys.stdout.flush()
        page = Application(caches={"product names": cache})
        server = uvicorn.Server(uvicorn.Config(page, log_config=None, lifespan="on"))
        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main())
