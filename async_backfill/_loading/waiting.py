"""Waiting for batches: waiters are counted, and a batch without waiters is given up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from async_backfill._loading.cycles import outer_batch, refuse_cycle
from async_backfill.errors import LoadCycleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from async_backfill._loading.batch import Batch
    from async_backfill.contracts import K, V


async def wait_for(awaited: Mapping[Batch[K, V], K], give_up: Callable[[Batch[K, V]], None]) -> None:
    """Wait until all batches of ``awaited`` have landed.

    Cancelling the caller ends only the caller's own wait.

    :param awaited: the batches, each with a key of it that the caller needs.
    :param give_up: called with each batch that has no waiter left.
    :raises LoadCycleError: when the caller runs in a load that one of the batches waits for.
    """
    outer = outer_batch()
    if outer is None:
        with _counted(awaited, give_up):
            for batch in awaited:
                await batch.wait()
        return
    _refuse_cycles(awaited, outer, give_up)
    if not outer.needs:
        outer.needs = {}
        outer.lend(1)
    edges = {object(): (key, batch) for batch, key in awaited.items()}
    outer.needs.update(edges)
    try:
        with _counted(awaited, give_up):
            for batch in awaited:
                await batch.wait()
    finally:
        for edge in edges:
            del outer.needs[edge]
        if not outer.needs:
            outer.lend(-1)


def _refuse_cycles(
    awaited: Mapping[Batch[K, V], K], outer: Batch[Any, Any], give_up: Callable[[Batch[K, V]], None]
) -> None:
    try:
        for batch, key in awaited.items():
            refuse_cycle(key, batch, outer)
    except LoadCycleError:
        for batch in awaited:
            if not (batch.waiters or batch.is_landed):
                give_up(batch)
        raise


@contextmanager
def _counted(awaited: Mapping[Batch[K, V], K], give_up: Callable[[Batch[K, V]], None]) -> Iterator[None]:
    for batch in awaited:
        batch.waiters += 1
    try:
        yield
    finally:
        for batch in awaited:
            batch.waiters -= 1
            if not (batch.waiters or batch.is_landed):
                give_up(batch)
