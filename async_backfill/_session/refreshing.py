"""Load a key anew that a caller wants refreshed, whatever is kept of it or under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._loading.batch import BatchState
from async_backfill._loading.cycles import running_batch

if TYPE_CHECKING:
    from async_backfill._far.open_tier import OpenTier
    from async_backfill._loading.loader import Loader
    from async_backfill.contracts import K, V
    from async_backfill.outcomes import Absent, Failed


async def refresh(key: K, loader: Loader[K, V], far: OpenTier[K, V] | None) -> V | Absent | Failed:
    """Load ``key`` from the source, with a call that begins now or later; return what came of it."""
    queue = loader.batch_queue
    queue.require_open()
    if far is not None:
        await far.pass_over(key)
        queue.require_open()
    under_way = loader.locks.holder(key)
    # Inside a load nothing is revoked, or one that refreshes its own key would begin another, for ever.
    if under_way is not None and under_way.state is BatchState.LOADING and running_batch.get() is None:
        loader.locks.revoke((key,))
    while True:
        batch = queue.join(key)[0] if key in loader.locks else queue.join_refresh(key)
        await loader.wait({batch: key})
        if key in batch.keys or batch.error is not None:  # else a live caller took the key over
            return batch.outcome(key)
