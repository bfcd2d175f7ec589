"""Generate Zipf-distributed lookups: a few keys often, most keys rarely."""

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
    """Return the lookups of ``spec``, the same ones each time.

    :raises ConfigurationError: when a number of ``spec`` is not allowed.
    """
    count = _up_to_most("count", spec.count, least=0)
    size = _up_to_most("keys", spec.keys, least=1)
    exponent = real("exponent", spec.exponent, least=0.0, most=10.0)
    draws = random.Random(f"zipf {whole('seed', spec.seed, least=0)}")
    by_rank = [f"key_{number}" for number in range(size)]
    # Shuffled, or the first keys of the source would also be the most frequent ones.
    draws.shuffle(by_rank)
    weights = accumulate(math.pow(rank, -exponent) for rank in range(1, size + 1))
    return draws.choices(by_rank, cum_weights=list(weights), k=count)


def _up_to_most(setting: str, value: int, *, least: int) -> int:
    number = whole(setting, value, least=least)
    if number > _MOST:
        raise ConfigurationError(setting, f"must be at most {_MOST}, not {number}")
    return number
