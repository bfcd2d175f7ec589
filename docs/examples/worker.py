"""A worker that prices orders, a product id a line on its standard input, until that ends or it gets SIGTERM.

``DATABASE_URL`` names a database with a table ``products`` of ``id``, ``name`` and ``price``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from async_backfill import BackfillCache, LoadError
from async_backfill.sources.sql import SQLSource

AT_ONCE = 20


async def read_orders(orders: asyncio.Queue[str]) -> None:
    """Put what comes on standard input into the queue, as fast as it is worked off."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    while line := await reader.readline():
        await orders.put(line.decode().strip())


async def price_orders(orders: asyncio.Queue[str], cache: BackfillCache[str, int]) -> None:
    """Take orders and print their prices; a source that fails fails one order."""
    while True:
        product = await orders.get()
        try:
            print(product, await cache.get(product, "unknown"), flush=True)
        except LoadError as error:
            print(product, f"failed: {error}", flush=True)
        finally:
            orders.task_done()


async def main() -> None:
    """Work until there are no more orders, or the system asks to stop; finish what was begun."""
    orders: asyncio.Queue[str] = asyncio.Queue(maxsize=AT_ONCE)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        SQLSource.connect(os.environ["DATABASE_URL"], "products", key="id", value="price") as source,
        BackfillCache(source, scan=source, capacity=10_000) as cache,
    ):
        reading = asyncio.create_task(read_orders(orders))
        workers = [asyncio.create_task(price_orders(orders, cache)) for _ in range(AT_ONCE)]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        await orders.join()
        for task in (*workers, stopping):
            task.cancel()
        await asyncio.gather(reading, stopping, *workers, return_exceptions=True)
        print(cache.stats.lookups, "orders,", cache.stats.source_calls, "source calls", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
