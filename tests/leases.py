"""Lease keys in a test as one call, under a new token."""

from __future__ import annotations

import secrets


async def lease(leases, keys, outdated=()):
    """Lease ``keys`` under a new token; return it for each key that was leased."""
    token = secrets.token_bytes(12) + bytes(4)
    tokens = await leases.acquire_many(keys, token, outdated=outdated)
    return {key: held for key, held in tokens.items() if held == token}
