"""Record the terminal of a durable job as a picture, docs/images/jobs.svg: ``python -m docs.images.jobs``.

The commands are run for real, over the rows of `docs.examples.whole_job`; of the view of `run` one moment is
shown. Only the name of the temporary folder is another one in the picture.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
from rich.console import Console
from rich.text import Text

from async_backfill._commands.jobs.view import _block
from async_backfill.jobs import JobReport, Jobs
from docs.examples.whole_job import JOB, prepare

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_name("jobs.svg")
FOLDER = "/srv/weather"
PAGES_OF_A_SECOND = "rate = 20000.0\nbatch = 500\n"


class Terminal:
    """The terminal that is recorded, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.console = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor")
        self._folder = folder

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Show a command, and start it."""
        self.console.print(Text("$ ", "green"), Text(shlex.join(["async-backfill", "jobs", *words])), sep="")
        return subprocess.Popen(
            [sys.executable, "-m", "async_backfill", "jobs", *words],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> str:
        """Show what a command printed, and return it."""
        printed, complaints = process.communicate()
        if process.returncode:
            sys.exit(complaints)
        self.console.print(Text(printed.replace(str(self._folder), FOLDER)))
        return printed

    def save(self) -> None:
        """Write the picture, without the fonts of another site."""
        svg = self.console.export_svg(title="a durable job")
        PICTURE.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), "utf-8")


async def in_the_middle(folder: Path) -> JobReport:
    """Return how the job is when half of its rows are read."""
    async with Jobs(folder / "jobs.sqlite") as jobs:
        while True:
            report = await jobs.status(1)
            if 2 * report.counts.read >= report.rows_total:
                return report
            await anyio.sleep(0.01)


def main(folder: Path) -> None:
    """Run a job in ``folder``, and record it."""
    prepare(folder).write_text(PAGES_OF_A_SECOND + JOB, "utf-8")
    terminal = Terminal(folder)
    planned = terminal.end(terminal.start("plan", "job.toml", "--by", "ada"))
    plan_hash = re.findall("[0-9a-f]{64}", planned)[0]
    given = ["--plan", plan_hash, "--by", "bob", "--reason", "the weather of 2013"]
    terminal.end(terminal.start("approve", "1", *given))
    run = terminal.start("run", "1", "--by", "bob")
    terminal.console.print(_block(anyio.run(in_the_middle, folder)))
    terminal.end(run)
    terminal.end(terminal.start("verify", "1", "--all", "--by", "bob"))
    terminal.save()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
