"""``python -m tests.jobs.acceptance``: show in real time what must hold of a job, one line each.

Each is shown with SQLite on both sides, and with PostgreSQL and Valkey; the exit code is 0 when all hold.
``--only A6 A7`` are some of them; ``--share 0.1`` makes all of them smaller.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from tests.jobs import kills
from tests.jobs.acceptance import pauses, planted, poison, races, rates, sleepers, stores, workers
from tests.jobs.acceptance.place import Place, in_files, on_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.jobs.acceptance.place import Shown


def shows(share: float) -> Mapping[str, Callable[[Place], Shown]]:
    """Return what can be shown, each by the name of its goal; ``share`` is that of its full size."""

    def of(whole: int, least: int = 1) -> int:
        return max(least, round(share * whole))

    return {
        "A1": partial(races.show, rows=of(200_000, 20_000), hold=0.2, runs=of(10), least=of(5_000)),
        "A5": partial(kills.show, rows=of(300_000, 30_000), kills=of(100), seed=21),
        "A6": partial(sleepers.show, rows=of(100_000, 50_000), trials=of(5)),
        "A7": partial(pauses.show, rows=of(100_000, 50_000), trials=of(5)),
        "A8": partial(rates.show, rate=5_000.0, seconds=max(5.0, 30.0 * share)),
        "A9": partial(workers.show_slow, rows=of(100_000, 20_000)),
        "A11": partial(planted.show, rows=of(1_000_000, 100_000)),
        "A12": partial(stores.show, rows=of(100_000, 30_000), batch=500),
        "A15": partial(workers.show_two, rows=of(100_000, 20_000)),
        "A16": partial(poison.show, rows=of(1_000_000, 50_000)),
    }


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.acceptance", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(shows(1.0)), help="all by default")
    parser.add_argument("--ends", choices=("files", "servers"), help="both by default")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size")
    options = parser.parse_args()
    places: dict[str, Callable[[], AbstractContextManager[Place]]] = {
        "files": in_files,
        "servers": on_servers,
    }
    wrong = 0
    for name, show in shows(options.share).items():
        if options.only and name not in options.only:
            continue
        for kind, place in places.items():
            if options.ends not in {None, kind} or (name, kind) == ("A12", "files"):
                continue
            begin = time.monotonic()
            with place() as there:
                shown = show(there)
            wrong += not shown.holds
            told = "holds" if shown.holds else "DOES NOT HOLD"
            print(f"{name} {kind} {told} ({time.monotonic() - begin:.0f} s): {shown.figures}", flush=True)  # noqa: T201
    return min(wrong, 1)


if __name__ == "__main__":
    os.nice(5)
    sys.exit(main())
