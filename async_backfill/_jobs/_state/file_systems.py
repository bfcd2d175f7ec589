"""Which file systems are of a network: locks of files cannot be relied on there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "davfs"),
    }
)
_DEVICE: Final = 2  # the place of the device in a line


def network_of(path: str, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Return the network file system that ``path`` is on; ``None`` when it is local, or cannot be told."""
    device = os.stat(path).st_dev  # noqa: PTH116 - a text
    wanted = f"{os.major(device)}:{os.minor(device)}"
    lines: list[str] = []
    with suppress(OSError):
        lines = Path(mounts).read_text("utf-8", "replace").splitlines()
    for line in lines:
        front, _, back = line.partition(" - ")
        fields, kind = front.split(), back.partition(" ")[0]
        if len(fields) > _DEVICE and fields[_DEVICE] == wanted and kind in _NETWORK:
            return kind
    return None
