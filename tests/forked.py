"""Programs that fork: each in a process of its own, because the one of the tests has threads."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]

_OF_FORKS = "ignore:This process:DeprecationWarning"  # from Python 3.12 on, where a thread is left
_BEGIN = """
import asyncio, os, sys
from async_backfill import *

def in_child(work):
    # Return a function that waits for work(), which runs in a forked process, and returns its text.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = str(work())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    def told():
        with open(reading, "rb") as file:
            text = file.read().decode()
        os.waitpid(child, 0)
        return text
    return told
"""


def printed_by(program: str, *arguments: str) -> list[str]:
    """Run ``program`` after the definition of ``in_child``, and return the lines that it prints."""
    source = _BEGIN + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", _OF_FORKS, "-c", source, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()
