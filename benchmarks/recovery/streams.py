"""The traces: those of a folder, or the real one that comes with the project and three made ones."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from async_backfill._runner.scenario.model import ZipfSpec
from async_backfill._runner.scenario.zipf import zipf_keys
from async_backfill.errors import ScenarioError
from benchmarks.hit_ratios.replay import read_trace, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.hit_ratios.replay import Trace

_FLIGHTS: Final = Path(__file__).parents[2] / "data" / "flights_weather.keys.gz"
_KEYS: Final = 20_000
_BETWEEN_SCANS: Final = 4_000
_SCAN: Final = 1_000
_SCANNED: Final = 10_000
_MOVES_EVERY: Final = 400


def read_streams(folder: Path | None) -> list[Trace]:
    """Return the traces in ``folder``, or those that need none.

    :raises ScenarioError: when the folder has no trace, or one that cannot be read.
    """
    if folder is None:
        skewed = zipf_keys(ZipfSpec(count=60_000, keys=_KEYS, exponent=0.99, seed=1))
        made = {"skewed": skewed, "drifting": list(_drifting(skewed)), "scans": list(_with_scans(skewed))}
        return [anyio.run(read_trace, _FLIGHTS), *(trace_of(name, keys) for name, keys in made.items())]
    files = sorted(path for pattern in ("*.keys", "*.keys.gz") for path in folder.glob(pattern))
    if not files:
        raise ScenarioError(f"{folder}: no traces, expected files named NAME.keys or NAME.keys.gz")
    return [anyio.run(read_trace, path) for path in files]


def _drifting(keys: Sequence[str]) -> Iterator[str]:
    """Yield ``keys``, but a fifth of them hand their popularity on to a neighbour every 400 lookups."""
    for place, key in enumerate(keys):
        number = int(key.removeprefix("key_"))
        yield key if number % 5 else f"moving_{(number + place // _MOVES_EVERY) % _KEYS}"


def _with_scans(keys: Sequence[str]) -> Iterator[str]:
    """Yield ``keys``, and now and then the next 1,000 of 10,000 others in their order."""
    scanned = cycle(range(_SCANNED))
    for start in range(0, len(keys), _BETWEEN_SCANS):
        yield from keys[start : start + _BETWEEN_SCANS]
        yield from (f"scanned_{number}" for number in islice(scanned, _SCAN))
