"""Sign what is in Redis with a key that all processes share."""

from __future__ import annotations

import hmac
from struct import Struct
from typing import Final

from async_backfill.errors import ConfigurationError

SIGNATURE: Final = 32
"""The length of a signature in bytes."""

_LEAST: Final = 16
_LENGTH: Final = Struct(">I")


def keyed(signing_key: bytes | None) -> hmac.HMAC | None:
    """Return an HMAC-SHA256 to copy for each signature; ``None`` without a key.

    :raises ConfigurationError: when the key is too short.
    """
    if signing_key is None:
        return None
    if len(signing_key) < _LEAST:
        raise ConfigurationError("signing_key", f"must have {_LEAST} bytes or more, not {len(signing_key)}")
    return hmac.new(signing_key, digestmod="sha256")


class Signer:
    """Signs what stands under one name, for one purpose: nothing signed for another can be put in its place.

    :param purpose: begins with a letter; envelopes and news of leases begin otherwise.
    """

    def __init__(self, signing_key: bytes | None, purpose: bytes, name: bytes) -> None:
        self._keyed = keyed(signing_key)
        if self._keyed is not None:
            self._keyed.update(purpose + _LENGTH.pack(len(name)) + name)

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return self._keyed is not None

    def of(self, content: bytes) -> bytes:
        """Return the signature of ``content``; empty without a key."""
        if self._keyed is None:
            return b""
        signature = self._keyed.copy()
        signature.update(content)
        return signature.digest()

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Return whether ``signature`` is that of ``content``."""
        return hmac.compare_digest(signature, self.of(content))
