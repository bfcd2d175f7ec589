"""Made-up lookups: few keys are asked for often, most hardly ever."""

from __future__ import annotations

import math
import random
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from async_backfill._common.validation import real, whole
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill._runner.scenario.model import ZipfSpec

_MOST: Final = 10_000_000


def zipf_keys(spec: ZipfSpec) -> list[str]:
    """Return the keys that ``spec`` describes, the same ones each time.

    :raises ConfigurationError: when one of its numbers is outside what is allowed.
    """
    count = _up_to_most("count", spec.count, least=0)
    size = _up_to_most("keys", spec.keys, least=1)
    exponent = real("exponent", spec.exponent, least=0.0, most=10.0)
    draws = random.Random(f"zipf {whole('seed', spec.seed, least=0)}")
    by_rank = [f"key_{number}" for number in range(size)]
    # Dealt out, or the first keys of the source would be those that are asked for most.
    draws.shuffle(by_rank)
    weights = accumulate(math.pow(rank, -exponent) for rank in range(1, size + 1))
    return draws.choices(by_rank, cum_weights=list(weights), k=count)


def _up_to_most(setting: str, value: int, *, least: int) -> int:
    number = whole(setting, value, least=least)
    if number > _MOST:
        raise ConfigurationError(setting, f"{number} is more than {_MOST}")
    return number
