"""The plan of a job: what it will do, what that costs, and the hash that an approval names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence  # noqa: TC003 - msgspec reads the types of the fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from async_backfill._jobs._spec import JobSpec  # noqa: TC001 - as above

if TYPE_CHECKING:
    from typing import Self

_OF_THE_STORE: Final = ("store_bytes", "store_limit", "present")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job before it runs, and what was measured to estimate it; nothing was written.

    ``rows``, ``rows_by``
        the number of rows, and how it was found, such as ``"counted"`` or ``"estimated by the database"``.
    ``row_bytes``
        the mean size of a packed row in the store, of a sample of at most 1,000.
    ``store_bytes``, ``store_limit``
        the bytes that the store uses now, and its limit; ``None`` where it does not say.
    ``present``
        the share of the sample's keys that the store has already, 0.0 to 1.0.
    ``schema``
        a fingerprint of the source's columns and types; ``None`` where it has none.
    ``cuts``
        the packed cursors between the shards.
    ``release``
        the release of this package.
    """

    spec: JobSpec
    rows: int
    rows_by: str
    row_bytes: float
    store_bytes: int | None
    store_limit: int | None
    present: float
    schema: str | None
    cuts: Sequence[bytes]
    release: str

    @property
    def hash(self) -> str:
        """SHA-256, in hexadecimal, of the canonical plan, without what was measured of the store."""
        # Read back first: what was given as 60 is 60.0 in what is kept, and has the same hash.
        fields = msgspec.to_builtins(self.from_bytes(self.to_bytes()))
        for name in _OF_THE_STORE:
            del fields[name]
        return hashlib.sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the plan as canonical JSON."""
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the plan that `to_bytes` made into ``data``.

        :raises msgspec.MsgspecError: when it is none.
        """
        return msgspec.json.decode(data, type=cls)
