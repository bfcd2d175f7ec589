"""A snapshot of what a cache holds, in a file, so that the next process starts with the values."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, get_args

from async_backfill._common.validation import convert, positive_seconds, positive_seconds_or_none, whole
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    import os

    from async_backfill.contracts import Compression, Seconds, ValueCodec

__all__ = ["Restored", "SnapshotFile"]

_LEAST_BYTES: Final = 10_000

Restored: TypeAlias = Literal["stale", "trusted", "reloaded"]
"""What becomes of restored values: see ``restored`` of `SnapshotFile`."""


@dataclass(frozen=True, slots=True)
class SnapshotFile(Generic[K, V]):
    """The setting ``snapshot`` of a cache: it keeps its entries in the file at ``path`` for the next process.

    It is written when the cache closes, every ``save_every`` seconds, and by ``cache.save_snapshot()``: whole
    or not at all. Beside it is a log of what was loaded, evicted, put and removed since, so the next process
    holds what this one held, and nothing that was removed, also after ``kill -9``.

    One process at a time saves to a path; all may load. There is no pickle: keys and values are what they are
    in a far store. A file that is damaged, too old or of something else is ignored, with a line of the logger
    ``async_backfill.snapshot``, and is put aside as ``path.refused``.

    ``path``
        the file; a new one is for its owner alone.
    ``restored``
        what becomes of restored values, because what changed while no process ran is not known. ``"stale"``:
        they are served at once, loaded again in batches, and removed after ``stale_for`` if that failed.
        ``"trusted"``: they are served until their ttl is over; for sources that this cache alone changes.
        ``"reloaded"``: they are not served; their keys are loaded again in batches. With a far tier (L2) the
        values that come back are those that it still holds, and the setting has no effect.
    ``stale_for``
        seconds after the opening for which a restored value may be served that was not loaded again.
    ``save_every``
        seconds between two snapshots; ``None`` for none while the cache is open.
    ``max_age``
        seconds after which a snapshot is too old to be used, by the wall clock.
    ``max_bytes``
        the largest size of the file; what the eviction order would evict last goes in first.
    ``version``, ``namespace``
        the version of the code that makes the values, and what tells equal keys of other data apart: any
        text. One with another is refused, as is one of a cache of another ``name`` or ``fingerprint``.
    ``key_type``
        the classes of keys that are no standard types; see `JournalFile`.
    ``value_type``, ``codec``, ``max_value_bytes``, ``signing_key``, ``compression``
        how values are written; see `RedisStore`.
    """

    path: str | os.PathLike[str]
    _: KW_ONLY
    restored: Restored = "stale"
    stale_for: float = 300.0
    save_every: float | None = 300.0
    max_age: float = 3600.0
    max_bytes: int = 1_000_000_000
    version: str = ""
    namespace: str = ""
    key_type: Any = Any
    value_type: type[V] | Any = Any
    codec: ValueCodec[V] | None = None
    max_value_bytes: int = 1_000_000
    signing_key: bytes | None = None
    compression: Compression | None = None

    if TYPE_CHECKING:

        def __init__(  # noqa: PLR0913 - for type checkers
            self,
            path: str | os.PathLike[str],
            *,
            restored: Restored = ...,
            stale_for: Seconds = ...,
            save_every: Seconds | None = ...,
            max_age: Seconds = ...,
            max_bytes: int = ...,
            version: str = ...,
            namespace: str = ...,
            key_type: type[K] | Any = ...,
            value_type: type[V] | Any = ...,
            codec: ValueCodec[V] | None = ...,
            max_value_bytes: int = ...,
            signing_key: bytes | None = ...,
            compression: Compression | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        convert(
            self,
            stale_for=positive_seconds,
            save_every=positive_seconds_or_none,
            max_age=positive_seconds,
        )
        whole("max_bytes", self.max_bytes, least=_LEAST_BYTES)
        if self.restored not in get_args(Restored):
            names = ", ".join(map(repr, get_args(Restored)))
            raise ConfigurationError("restored", f"{self.restored!r} is not one of {names}")
        for name in ("version", "namespace"):
            if not isinstance(getattr(self, name), str):
                raise ConfigurationError(name, f"must be text, not {getattr(self, name)!r}")
