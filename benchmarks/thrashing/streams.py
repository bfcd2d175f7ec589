"""The streams of lookups, each with the table of its source."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.tables import read_table
from benchmarks.key_files import read_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DATA: Final = Path(__file__).parents[2] / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Keys to look up, in order, and the ``table`` of the source, in the order that a scan lists it."""

    name: str
    title: str
    lookups: Sequence[str]
    table: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """The parameters of a synthetic stream.

    ``exponent``
        the key of rank r is asked for in proportion to ``1 / r ** exponent``; 0.99 is what the
        Yahoo! Cloud Serving Benchmark uses.
    ``absent_share``
        share of the lookups that ask for keys which do not exist.
    """

    keys: int = 10_000
    lookups: int = 10_000
    exponent: float = 0.99
    absent_share: float = 0.02
    seed: int = 1


def skewed_stream(skew: Skew) -> Stream:
    """Return a stream of a few frequent and many rare keys.

    Popularity is dealt out at random: where a key stands in the table says nothing about it.
    """
    draws = random.Random(skew.seed)
    keys = [f"key_{number:06}" for number in range(skew.keys)]
    by_rank = draws.sample(keys, k=len(keys))
    weights = accumulate(1 / rank**skew.exponent for rank in range(1, len(keys) + 1))
    lookups = draws.choices(by_rank, cum_weights=list(weights), k=skew.lookups)
    for place in range(len(lookups)):
        if draws.random() < skew.absent_share:
            lookups[place] = f"absent_{draws.randrange(skew.keys):06}"
    return Stream(
        name="skewed",
        title="Skewed stream (synthetic)",
        lookups=lookups,
        table=dict.fromkeys(keys),
    )


async def flights_stream() -> Stream:
    """Return the real stream: each flight out of New York in 2013 asks for the weather of its hour."""
    return Stream(
        name="flights_weather",
        title="Flights look up the weather (real)",
        lookups=await read_keys(_DATA / "flights_weather.keys.gz"),
        table=await read_table(_DATA / "weather.csv.gz", key="key", value="temp"),
    )


async def trace_stream(path: Path) -> Stream:
    """Return the stream in a file with one key a line; its table holds all of its keys, sorted.

    :raises ScenarioError: when the file cannot be read, or holds no key.
    """
    lookups = await read_keys(path)
    if not lookups:
        raise ScenarioError(f"{path}: empty, expected one key a line")
    name = path.name.partition(".")[0]
    return Stream(
        name=name, title=f"{name} (trace)", lookups=lookups, table=dict.fromkeys(sorted(set(lookups)))
    )
