"""The order of trials: a coarse grid, then sweeps, then finer steps, each around the best so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._runner.tuning.front import pareto_front, worth_choosing
from async_backfill._runner.tuning.grid import changes, coarse, fine, sweep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from async_backfill._runner.scenario.model import Settings
    from async_backfill._runner.tuning.grid import Extent
    from async_backfill._runner.tuning.trial import Result

GAIN: Final = 0.02
"""The share of the cost for the source that a setting must save to be worth its memory."""

_SWEEPS: Final = 2


async def search(
    base: Settings,
    extent: Extent,
    *,
    trials: int,
    run: Callable[[Sequence[Settings]], Awaitable[list[Result]]],
) -> list[Result]:
    """Return the results of ``base`` and of the other settings tried, at most ``trials`` in all.

    A sweep may use half of the remaining trials, so that some remain for the finer steps.

    :param run: a function that returns the results of settings, in their order.
    """
    tried: dict[Settings, Result] = {}

    async def attempt(candidates: Sequence[Settings], most: int) -> None:
        fresh = [settings for settings in candidates if settings not in tried][: max(0, most)]
        tried.update(zip(fresh, await run(fresh), strict=True) if fresh else ())

    await attempt(coarse(base, extent), trials)
    for _ in range(_SWEEPS):
        await attempt(
            sweep(_settings_of(choose(tried.values(), base)), base, extent), (trials - len(tried)) // 2
        )
    await attempt(fine(_settings_of(choose(tried.values(), base)), tried, base, extent), trials - len(tried))
    return list(tried.values())


def choose(results: Iterable[Result], base: Settings) -> list[Result]:
    """Return the results worth choosing; of equal results, the one with the fewest changes to ``base``."""
    return worth_choosing(
        pareto_front(sorted(results, key=lambda result: changes(result.settings, base))), gain=GAIN
    )


def _settings_of(results: Sequence[Result]) -> list[Settings]:
    return [result.settings for result in results]
