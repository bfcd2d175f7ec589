"""Entry point of ``python -m async_backfill`` and of the console script ``async-backfill``."""

from __future__ import annotations

import sys


def run(program: str = "async-backfill") -> None:
    """Run the command line and end the process with its exit code.

    :param program: the program's name in the help.
    """
    try:
        # Each worker of `tune` imports this module too, and needs nothing of the command line.
        from async_backfill._commands.cli import main  # noqa: PLC0415 - see above
    except KeyboardInterrupt:  # to import takes a moment
        sys.stderr.write("error: interrupted, nothing was written\n")
        sys.exit(130)
    sys.exit(main(program=program))


if __name__ == "__main__":
    run("python -m async_backfill")
