"""Courses of a job: workers that are killed, operators, faults and writers, drawn at random, in virtual time.

``python -m tests.jobs.courses --courses 1000`` runs so many of them, and prints the seed of each that ends
wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio
import looptime
from anyio import create_task_group, move_on_after, sleep

from tests.jobs.course_run import Run
from tests.jobs.working import state_in

WHAT = (
    *("kill", "kill", "spawn", "spawn", "pause", "resume", "resume", "set", "stop"),
    *("store down", "store up", "source down", "source up", "update", "update", "delete", "insert"),
    *("revoke", "approve", "forget", "lease", "cancel"),
)
RARE = {"forget": 0.2, "cancel": 0.1}


@dataclass(frozen=True)
class Step:
    """What happens ``after`` so many seconds, to the worker or row of that number."""

    after: float
    what: str
    number: int


@dataclass(frozen=True)
class Course:
    """One course; ``poisoned`` are numbers of rows that cannot be made."""

    rows: int
    cuts: int
    lanes: int
    batch: int
    policy: str
    poisoned: frozenset[int]
    steps: tuple[Step, ...]


def draw(seed: int) -> Course:
    """Return the course of that seed."""
    draws = random.Random(seed)
    rows = draws.choice([0, 1, 7, 40, 40, 120])
    steps = []
    for _ in range(draws.randint(0, 14)):
        what = draws.choice(WHAT)
        if draws.random() < RARE.get(what, 1.0):
            steps.append(Step(draws.choice([0.0, 0.01, 0.06, 0.3, 2.0]), what, draws.randrange(1000)))
    return Course(
        rows=rows,
        cuts=draws.choice([0, 1, 4]) if rows > 4 else 0,
        lanes=draws.choice([1, 2, 3]),
        batch=draws.choice([1, 3, 10]),
        policy=draws.choice(["missing", "stale", "all"]),
        poisoned=frozenset(draws.sample(range(rows), draws.choice([0, 0, 1])) if rows else ()),
        steps=tuple(steps),
    )


async def run_course(course, folder):
    """Run ``course`` with its state in ``folder``; raises what ends wrong."""
    with state_in(folder) as state:
        async with create_task_group() as tasks:
            run = Run(course, state, tasks)
            run.spawn()
            with move_on_after(10_000.0) as limit:
                for step in course.steps:
                    await sleep(step.after)
                    await run.step(step)
                    run.check()
                await run.heal()
                await run.check_end()
            assert not limit.cancelled_caught, "it never ended"
            tasks.cancel_scope.cancel()


def main() -> int:
    """Run the courses that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.courses", description=__doc__)
    parser.add_argument("--courses", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    options = parser.parse_args()
    wrong = 0
    for seed in range(options.seed, options.seed + options.courses):
        with tempfile.TemporaryDirectory() as name:
            loop = {"loop_factory": lambda: looptime.new_event_loop(start=0.0, end=None, noop_cycles=0)}
            try:
                anyio.run(run_course, draw(seed), Path(name), backend_options=loop)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                wrong += 1
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)  # noqa: T201
    print(f"{options.courses} courses, {wrong} ended wrong")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
