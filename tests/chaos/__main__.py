"""``python -m tests.chaos``: two minutes of a fleet among faults; exits 1 when anything came of it."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections import Counter
from pathlib import Path

from tests.chaos.fleet import Fleet
from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey


def main() -> int:
    """Run the fleet, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the faults go on")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of faults and processes")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes} minutes", flush=True)
    with tempfile.TemporaryDirectory() as name, start_postgres() as postgres:
        folder = Path(name)
        with start_valkey(folder / "valkey") as valkey:
            fleet = Fleet(postgres.url, valkey, folder, options.seed)
            verdict, faults = asyncio.run(fleet.run(options.minutes * 60.0))
    kinds = Counter(fault.what for fault in faults)
    print(f"{len(faults)} faults: {', '.join(f'{what} {count}' for what, count in kinds.items())}")
    for line in verdict.lines():
        print(line)
    return 0 if verdict.is_clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
