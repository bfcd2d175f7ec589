"""The processor time and the peak memory of processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


def processor_seconds(process: int | None) -> float | None:
    """Return the processor seconds of ``process`` and of all it ever started; ``None`` if not known."""
    if process is None or not (_PROC / str(process)).exists():
        return None
    # proc(5): utime, stime, and those of children that have ended; the name in brackets may have spaces.
    fields = (_PROC / str(process) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    seconds = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    running = (_PROC / str(process) / "task" / str(process) / "children").read_text(encoding="ascii")
    return seconds + sum(processor_seconds(int(child)) or 0.0 for child in running.split())


def machine_seconds() -> float | None:
    """Return the seconds of processor time that the whole machine has used; ``None`` if not known."""
    if not (_PROC / "stat").exists():
        return None
    # proc(5): user, nice, system, idle, iowait, irq, softirq, and steal, what other machines took.
    times = [
        int(field) for field in (_PROC / "stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    ]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


def peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes; ``None`` if not known."""
    status = _PROC / "self" / "status"
    if not status.exists():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024
