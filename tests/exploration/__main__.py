"""``python -m tests.exploration``: run many schedules of each race and say what broke.

A schedule is drawn from its number: who calls what, how long the source takes and whether it fails, who is
cancelled when, and in which order the event loop takes what is ready. ``--race NAME --seed N`` runs one of
them again. The exit code is 0 when every schedule of every race kept all promises.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.exploration.plans import RACES, draw
from tests.exploration.schedule import BrokenPromiseError, explore


def run_race(race: str, first: int, schedules: int, stop_after: int) -> tuple[Counter[str], list[str], float]:
    """Return what happened in the schedules of ``race`` from ``first`` on, what broke, and the seconds."""
    happened: Counter[str] = Counter()
    broken: list[str] = []
    began = time.perf_counter()
    for seed in range(first, first + schedules):
        happened["schedules"] += 1
        try:
            happened.update(explore(race, seed))
        except BrokenPromiseError as error:
            happened["broken"] += 1
            broken.append(str(error))
            if len(broken) == stop_after:
                break
    return happened, broken, time.perf_counter() - began


def main() -> int:
    """Run the command line and return its exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--race", choices=list(RACES), help="one race; all by default")
    options.add_argument("--schedules", type=int, help="of each race; 10,000, or 1 with --seed")
    options.add_argument("--seed", type=int, help="the number of the first schedule")
    options.add_argument("--jobs", type=int, default=2, help="races at once")
    options.add_argument("--stop-after", type=int, default=5, help="broken schedules that end a race")
    chosen = options.parse_args()
    races = [chosen.race] if chosen.race else list(RACES)
    first = chosen.seed or 0
    schedules = chosen.schedules or (10_000 if chosen.seed is None else 1)
    if schedules == 1:
        for race in races:
            print(f"{race}: {draw(race, first)}")
    ended = 0
    began = time.perf_counter()
    with ProcessPoolExecutor(chosen.jobs) as workers:
        runs = {race: workers.submit(run_race, race, first, schedules, chosen.stop_after) for race in races}
        for race, ran in runs.items():
            happened, broken, seconds = ran.result()
            ended += len(broken)
            figures = ", ".join(f"{count:,} {name}" for name, count in happened.items())
            print(f"{race:14} {seconds:6.1f} s  {figures}", *broken, sep="\n  ", flush=True)
    print(f"{ended} broken schedules, {time.perf_counter() - began:.0f} s")
    return 1 if ended else 0


if __name__ == "__main__":
    sys.exit(main())
