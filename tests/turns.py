"""Steps of work counted between two turns of the event loop: a promise of short steps, without a clock."""

from __future__ import annotations

from contextlib import asynccontextmanager

from anyio import create_task_group
from anyio.lowlevel import checkpoint


class Turns:
    """Counts what is done between two turns of the event loop."""

    def __init__(self):
        self.now = self.most = self.total = 0

    def count(self, answer):
        self.now += 1
        self.total += 1
        return answer

    async def watch(self):
        while True:
            await checkpoint()
            self.most = max(self.most, self.now)
            self.now = 0

    @asynccontextmanager
    async def watched(self):
        """Count the turns inside."""
        async with create_task_group() as tasks:
            tasks.start_soon(self.watch)
            await checkpoint()
            yield self
            tasks.cancel_scope.cancel()
        self.most = max(self.most, self.now)
