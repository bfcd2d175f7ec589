"""Measure in rounds: each contender once a round, in another order each time.

A machine that others use is slow at times. What is compared must be slow together, so a figure is a
ratio within a round, and the median of the rounds is what counts.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from benchmarks.peers.results import Sample

Trial: TypeAlias = Callable[[], Awaitable["Sample"]]


@dataclass(frozen=True)
class Plan:
    """The number of rounds to measure.

    ``rounds``
        rounds at the most.
    ``patience``
        seconds after which a contender takes part in no further round.
    """

    rounds: int
    patience: float


async def interleave(
    trials: Mapping[str, Trial], plan: Plan
) -> tuple[dict[str, list[Sample]], dict[str, str]]:
    """Return the samples of each contender, and the errors of those that failed.

    The garbage collector is on, as it is for users, and has just run when a trial begins.
    """
    samples: dict[str, list[Sample]] = {title: [] for title in trials}
    failed: dict[str, str] = {}
    spent = dict.fromkeys(trials, 0.0)
    order = list(trials)
    for number in range(plan.rounds):
        first = number % len(order)
        for title in order[first:] + order[:first]:
            if title in failed or spent[title] > plan.patience:
                continue
            gc.collect()
            began = perf_counter()
            try:
                samples[title].append(await trials[title]())
            except Exception as error:  # noqa: BLE001 - a peer that fails is a result
                failed[title] = f"failed: {type(error).__name__}: {error}"
            spent[title] += perf_counter() - began
    return {title: found for title, found in samples.items() if title not in failed}, failed
