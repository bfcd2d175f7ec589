"""News of leases that have ended: what is published of each key, and what a watcher takes from it.

::

    digest of the Redis key 16 | length 1 | nothing, or a signature 0 or 32 and what is told

What is told is ``A`` for an absent key, or ``F`` and the type of the error for a failed load.
"""

from __future__ import annotations

import hmac
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from async_backfill.errors import LoadError
from async_backfill.outcomes import ABSENT, Absent, Failed
from async_backfill.redis._wakeups import DIGEST, Wakeups

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from async_backfill.contracts import K
    from async_backfill.redis.connection import RedisConnection

_ABSENT: Final = b"A"
_FAILED: Final = b"F"
_LONGEST: Final = 100


class LeaseNews:
    """Makes and reads the news on ``channel``.

    :param sign: returns the signature of news of a Redis key; it is empty where nothing is signed.
    """

    # Only the type of an error goes over the network: its text may hold what others must not read.

    def __init__(
        self, connection: RedisConnection, channel: bytes, sign: Callable[[bytes, bytes], bytes]
    ) -> None:
        self._wakeups = Wakeups(connection, channel)
        self._sign = sign

    def of(self, name: bytes, told: Absent | Failed | None = None) -> bytes:
        """Return the news of the Redis key ``name``: its lease has ended, and what is ``told`` of it."""
        if told is None:
            return _digest_of(name) + b"\0"
        text = _ABSENT
        if isinstance(told, Failed):
            text = _FAILED + type(told.error).__name__.encode("ascii", "replace")[:_LONGEST]
        text = self._sign(name, text) + text
        return _digest_of(name) + bytes([len(text)]) + text

    @contextmanager
    def watch(
        self, names: Mapping[bytes, K]
    ) -> Iterator[Callable[[float], Awaitable[dict[K, Absent | Failed]]]]:
        """Watch the keys with these Redis ``names``; gives a function that waits for news of them.

        Its parameter is the longest wait in seconds.
        """
        digests = {_digest_of(name): name for name in names}

        async def wait(seconds: float) -> dict[K, Absent | Failed]:
            told: dict[K, Absent | Failed] = {}
            for digest, text in (await woken(seconds)).items():
                name = digests[digest]
                outcome = self._read(name, text)
                if outcome is not None:
                    told[names[name]] = outcome
            return told

        with self._wakeups.watch(digests.keys()) as woken:
            yield wait

    def _read(self, name: bytes, text: bytes) -> Absent | Failed | None:
        size = len(self._sign(name, b""))
        signature, text = text[:size], text[size:]
        if not hmac.compare_digest(signature, self._sign(name, text)):
            return None
        if text == _ABSENT:
            return ABSENT
        if text.startswith(_FAILED):
            kind = text[1:].decode("ascii", "replace")
            return Failed(LoadError(f"the process that loaded it failed with {kind}"))
        return None


def _digest_of(name: bytes) -> bytes:
    return blake2b(name, digest_size=DIGEST).digest()
