"""Which machine this is: files are shared safely by what one kernel keeps in memory, and not by two."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

_KERNEL: Final = "/proc/sys/kernel/random/boot_id"


def this_host(kernel: str = _KERNEL) -> str:
    """Return what all processes of this machine have in common, also in containers, until it restarts."""
    with suppress(OSError):
        return Path(kernel).read_text("utf-8").strip()
    return socket.gethostname()
