"""5,000 distinct cold keys at once, from a source that answers 500 keys a call and 10 calls at once."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.peers.results import Result, Sample
from benchmarks.peers.rounds import interleave
from benchmarks.peers.sources import LimitedSource, value_of
from benchmarks.peers.workloads.contest import WrongAnswerError, check, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.rounds import Trial
    from benchmarks.peers.sizes import Sizes

_LATENCY: Final = 0.005
_CALLS: Final = 10
_KEYS_A_CALL: Final = 500
FLOOR: Final = "gathered calls"


def single_gets(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Ask for each key in a task of its own."""
    trials: dict[str, Trial] = {FLOOR: partial(_gathered, sizes)}
    trials |= {peer.title: partial(_single, peer, sizes) for peer in peers}
    samples, failed = asyncio.run(interleave(trials, sizes.long))
    rows = rows_of(samples, peers, floors=[FLOOR])
    summary = (
        f"{sizes.cold_keys:,} tasks, as many cold keys, {_LATENCY * 1000:.0f} ms a call, {_CALLS} at once"
    )
    return Result("cold-keys", summary, "seconds", FLOOR, rows, failed)


def many(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Ask for all keys in one call."""
    absent = {peer.title: "has no get_many" for peer in peers if not peer.has_get_many}
    trials: dict[str, Trial] = {FLOOR: partial(_gathered, sizes)}
    trials |= {peer.title: partial(_many, peer, sizes) for peer in peers if peer.title not in absent}
    samples, failed = asyncio.run(interleave(trials, sizes.short))
    rows = rows_of(samples, peers, floors=[FLOOR])
    summary = f"{sizes.cold_keys:,} cold keys in one call of the cache, the source as before"
    return Result("get-many", summary, "seconds", FLOOR, rows, absent | failed)


def _source() -> LimitedSource:
    return LimitedSource(_LATENCY, at_once=_CALLS, at_most=_KEYS_A_CALL)


async def _gathered(sizes: Sizes) -> Sample:
    source = _source()
    keys = range(sizes.cold_keys)
    began = perf_counter()
    parts = [keys[start : start + _KEYS_A_CALL] for start in range(0, len(keys), _KEYS_A_CALL)]
    answers: dict[int, int] = {}
    for answer in await asyncio.gather(*map(source.load_many, parts)):
        answers.update(answer)
    took = perf_counter() - began
    check((answers[key] for key in keys), map(value_of, keys))
    return Sample(took, {"source calls": source.calls, "keys read": source.keys})


async def _single(kind: type[Peer], sizes: Sizes) -> Sample:
    source = _source()
    keys = range(sizes.cold_keys)
    async with kind(source, 2 * sizes.cold_keys) as peer:
        get = peer.get

        async def call(key: int) -> int:
            return await get(key)

        began = perf_counter()
        tasks = [asyncio.create_task(call(key)) for key in keys]
        answers = await asyncio.gather(*tasks)
        took = perf_counter() - began
    check(answers, map(value_of, keys))
    return Sample(took, {"source calls": source.calls, "keys read": source.keys})


async def _many(kind: type[Peer], sizes: Sizes) -> Sample:
    source = _source()
    keys = range(sizes.cold_keys)
    async with kind(source, 2 * sizes.cold_keys) as peer:
        began = perf_counter()
        answers = await peer.get_many(keys)
        took = perf_counter() - began
    if len(answers) != len(keys):
        raise WrongAnswerError(f"{len(answers)} answers to {len(keys)} keys")
    return Sample(took, {"source calls": source.calls, "keys read": source.keys})
