"""What the tests of the command line share: a folder to work in, scenarios to put there, and programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLD = b'{"hits": "of an earlier run"}\n'
SAMPLE = (ROOT / "data" / "sample_input.txt").read_text("utf-8")


def work_in(folder: Path, monkeypatch) -> None:
    """Make ``folder`` the current one, with the sample in it and a summary of an earlier run."""
    monkeypatch.chdir(folder)
    Path("old.json").write_bytes(OLD)
    Path("in.json").write_text(SAMPLE, "utf-8")


def scenario(**changed: object) -> str:
    return json.dumps({"source": {"a": 1}, "lookups": ["a"], **changed})


def names_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@contextmanager
def started(command: list[str], folder: Path, **pipes: int):
    """Start a program that hears Ctrl-C; at the end of the block it is killed, and its pipes are closed."""
    # A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        running = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            **pipes,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with running:
        try:
            yield running
        finally:
            running.kill()


def wait_until_read(pipe: int, running: subprocess.Popen[str]) -> None:
    """Wait until ``running`` has taken all that is in ``pipe``: it is at work then, not still starting."""
    import fcntl  # noqa: PLC0415 - Windows has none
    import termios  # noqa: PLC0415 - as above

    while int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder):
        assert running.poll() is None
        time.sleep(0.01)
