"""``python -m benchmarks.recovery``: restart, print, and write the results."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import App

from async_backfill.errors import ScenarioError
from async_backfill.stores._eviction.orders import EVICTIONS, Eviction
from benchmarks.hit_ratios.replay import trace_of
from benchmarks.peers.registry import find_peers
from benchmarks.peers.report import print_missing
from benchmarks.recovery.experiment import ROOMS, restarts
from benchmarks.recovery.plot import draw
from benchmarks.recovery.report import encode, print_cases, print_served
from benchmarks.recovery.service import PEERS, Traffic, contenders, serve
from benchmarks.recovery.streams import read_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESULTS: Final = Path(__file__).parents[1] / "results"
_QUICK_REQUESTS: Final = 8_400
_SERVICES: Final = (Traffic(), Traffic(call=0.008))
_QUICK: Final = Traffic(rate=300, keys=500, capacity=100, before=12, after=2)


def benchmark(
    *,
    traces: Path | None = None,
    eviction: Eviction | None = None,
    quick: bool = False,
    output_dir: Path | None = None,
) -> None:
    """Show what a restart costs the source and the requests, in each kind of restart.

    Parameters
    ----------
    traces:
        A folder of traces, NAME.keys or NAME.keys.gz, one key a line, in place of the flights and the
        weather, of three made-up streams, and of the service.
    eviction:
        One eviction order [all four].
    quick:
        Replay only the beginning of each trace with one room and one order, to see that everything works.
    output_dir:
        Where to write recovery.json and recovery.svg [benchmarks/results; with --traces or --quick nowhere].
    """
    if output_dir is None and traces is None and not quick:
        output_dir = _RESULTS
    orders = EVICTIONS if eviction is None else (eviction,)
    try:
        streams = read_streams(traces)
    except ScenarioError as error:
        sys.exit(f"error: {error}")
    rooms: Sequence[float] = ROOMS
    if quick:
        streams = [trace_of(trace.name, trace.requests[:_QUICK_REQUESTS]) for trace in streams]
        rooms, orders = rooms[1:2], orders[:1]
    services = () if traces is not None else (_QUICK,) if quick else _SERVICES
    with ProcessPoolExecutor() as workers:
        replays = [
            workers.submit(restarts, trace, room, order)
            for trace in streams
            for room in rooms
            for order in orders
        ]
        services_run = [workers.submit(serve, name, each) for each in services for name in contenders()]
        cases = [case for each in replays for case in each.result()]
        served = [each.result() for each in services_run]
    print_cases(cases, sys.stdout)
    if served:
        print_missing(find_peers(PEERS)[1], sys.stdout)
        print_served(served, sys.stdout)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "recovery.json").write_text(encode(cases, served), encoding="utf-8")
        if served:
            draw(served, output_dir / "recovery.svg")


if __name__ == "__main__":
    App(name="python -m benchmarks.recovery", default_command=benchmark, version_flags=())()
