"""``tune`` as a process with workers: Ctrl-C, a worker or the parent killed, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import OLD, ROOT, names_here, scenario, work_in

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
TUNE = [sys.executable, "-m", "async_backfill", "tune"]
WORKERS = 2
LONG = 60.0


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own that has an older report in it."""
    work_in(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def running(folder):
    """A run of many seconds in a process group of its own, as a shell starts it, whose workers work."""
    source = {"kind": "simulated", "keys": 10}
    Path("keys").write_text("".join(f"absent_{number}\n" for number in range(200_000)), "utf-8")
    Path("in.json").write_text(scenario(source=source, lookups={"file": "keys"}), "utf-8")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is deaf to it
    process = subprocess.Popen(
        [*TUNE, "--input", "in.json", "--output", "old.json", "--jobs", str(WORKERS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        wait_until(lambda: len(workers_of(process.pid)) == WORKERS)
        yield process
    finally:
        if any(members_of(process.pid)):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(condition) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "has not come about"
        time.sleep(0.05)  # a look at all processes takes milliseconds


def members_of(group: int) -> list[int]:
    """The processes of ``group`` that have not ended, without their parent's leave or with it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def workers_of(group: int) -> list[int]:
    return [pid for pid in members_of(group) if b"spawn_main" in command_of(pid)]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("delay", [0.0, 1.0], ids=["while the workers start", "in the middle of trials"])
def test_ctrl_c_ends_all_workers_and_writes_nothing(running, delay):
    time.sleep(delay)
    os.killpg(running.pid, signal.SIGINT)  # a terminal sends it to the workers too
    printed, complaint = running.communicate(timeout=LONG)
    assert running.returncode == 130
    assert (printed, complaint) == ("", "error: interrupted, nothing was written\n")
    wait_until(lambda: not members_of(running.pid))
    assert Path("old.json").read_bytes() == OLD
    assert names_here() == ["in.json", "keys", "old.json"]


def test_a_worker_that_dies_is_one_line_and_takes_the_others_with_it(running):
    os.kill(workers_of(running.pid)[0], signal.SIGKILL)
    printed, complaint = running.communicate(timeout=LONG)
    assert running.returncode == 1
    assert printed == ""
    assert complaint == (
        "error: a worker process ended unexpectedly, perhaps out of memory: try fewer --jobs\n"
    )
    wait_until(lambda: not members_of(running.pid))
    assert Path("old.json").read_bytes() == OLD


def test_workers_end_with_a_parent_that_was_killed(running):
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: not members_of(running.pid))
