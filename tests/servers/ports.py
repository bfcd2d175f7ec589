"""Free loopback ports for the servers of the tests."""

from __future__ import annotations

import secrets
import socket

# Below those that Linux, macOS and Windows give to who connects: a connection of another test could else
# have the port by the time its server starts, or starts again.
_PORTS = range(12_000, 32_000)


def free_port() -> int:
    """Return a port on which nobody listens now."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
