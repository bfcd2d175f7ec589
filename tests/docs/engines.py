"""Other engines as the page on clusters shows them: modules, workers, and ways to put a task in."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.docs.reading import MANUAL, PROJECT

PATIENCE = 300.0  # seconds that a step may take on a very slow machine
_BLOCK = re.compile(r"^(?:\*\*(\w+)\*\*[^\n]*\n\n)?```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def engines_of_the_page():
    """Return the beginning of each module ``tasks.py``, and the rest of it by the name of the engine."""
    _, _, section = (MANUAL / "cluster.md").read_text("utf-8").partition("\n## Under another engine\n")
    (_, first), *blocks = _BLOCK.findall(section.partition("\n## ")[0])
    return first, {name.lower(): code for name, code in blocks}


class Engine:
    """An engine whose module is in a folder.

    ``changes``
        what stands once on the page, and what the module has in its place.
    """

    def __init__(self, name, folder, *, state, changes):
        first, blocks = engines_of_the_page()
        self._folder = folder
        self._code = f"{first}\n{blocks[name]}"
        self._environment = {**os.environ, "ASYNC_BACKFILL_STATE": state}
        self._environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(PROJECT)])
        for old, new in changes.items():
            assert self._code.count(old) == 1, old
            self._code = self._code.replace(old, new)
        (folder / "tasks.py").write_text(self._code, "utf-8")

    def prepare(self):
        """Do what the page says is done once."""
        for line in self._said("once"):
            self._run(_command(line))

    def put_a_task(self):
        """Do as the page says: type a command, or await an expression."""
        (line,) = self._said("a task")
        body = f"import asyncio\nfrom tasks import *\nasync def put():\n    {line}\nasyncio.run(put())"
        self._run([sys.executable, "-c", body] if line.startswith("await ") else _command(line))

    @contextmanager
    def working(self):
        """Run a worker for ``with``, and ask it to end; no process of it is left."""
        (line,) = self._said("a worker")
        log = self._folder / "worker.log"
        quiet = {"stdin": subprocess.DEVNULL, "start_new_session": True}
        with (
            log.open("wb") as out,
            subprocess.Popen(
                _command(line), cwd=self._folder, env=self._environment, stdout=out, stderr=out, **quiet
            ) as process,
        ):
            try:
                yield Worker(process, log)
                process.terminate()
                process.wait(PATIENCE)
                _wait_until(lambda: not _is_there(process.pid))
            finally:
                if _is_there(process.pid):
                    os.killpg(process.pid, signal.SIGKILL)

    def _said(self, what):
        """Return what the comments of the module say of ``what``."""
        return re.findall(rf"^# {what}: (.*)$", self._code, re.MULTILINE)

    def _run(self, command):
        given = {"cwd": self._folder, "env": self._environment, "timeout": PATIENCE, "text": True}
        ended = subprocess.run(command, check=False, capture_output=True, **given)
        assert ended.returncode == 0, ended.stderr


@dataclass
class Worker:
    """A worker of an engine, and the file into which it logs."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_until_it_logs(self, text):
        def has_logged():
            self.require_running()
            return text in self.text()

        _wait_until(has_logged)

    def require_running(self):
        assert self.process.poll() is None, self.text()

    def text(self):
        return self.log.read_text("utf-8", "replace")


def _command(line):
    """Return the words of a command, whose program is that of this environment, wherever its script is."""
    return [sys.executable, "-m", *shlex.split(line)]


def _is_there(group):
    """Return whether there is a process of a group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until(found):
    end = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)
