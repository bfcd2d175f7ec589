"""Entry point of ``python -m async_backfill`` and of the console script ``async-backfill``."""

from __future__ import annotations

import sys

from async_backfill._commands.cli import main


def run() -> None:
    """Run the console script ``async-backfill`` and end the process with its exit code."""
    sys.exit(main(program="async-backfill"))


if __name__ == "__main__":
    sys.exit(main())
