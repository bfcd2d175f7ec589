"""The file format of a hot-key journal: a header with a checksum, then one key per line.

Line 1: the name of the format, its version, and the checksum of the rest. Line 2, in JSON: how many keys
follow, how many were left out, and the usual hit rate. Then one line for each key, hottest first: its heat,
a tab, the key in JSON.

Keys of these types are kept, and read back with the same type: ``str``, ``int``, ``float``, ``bool``,
``None``, and tuples of these. All others are left out, because they would come back as something else: also
instances of subclasses, such as named tuples, and tuples nested more than 100 deep.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from bisect import bisect
from json.encoder import encode_basestring
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from async_backfill.contracts import Heats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VERSION: Final = 1
_MAGIC: Final = b"async_backfill hot keys "
_FIRST_LINE: Final = re.compile(rb"version ([0-9]{1,9}) blake2b ([0-9a-f]{64})\n")
_DEEPEST: Final = 100
_SHARES: Final = 64


def encode(heats: Heats[Any]) -> bytes:
    """Return ``heats`` in the format of a journal.

    :raises ValueError: when the hit rate is not between 0.0 and 1.0.
    """
    # This runs in a worker thread. One call into C for all keys would hold the interpreter lock, and so
    # the event loop; key by key it does not.
    texts = ((heat, _text_of(key)) for key, heat in heats.keys.items() if math.isfinite(heat))
    kept = [(heat, text) for heat, text in texts if text is not None]
    facts = {
        "keys": len(kept),
        "left_out": len(heats.keys) - len(kept),
        "hit_rate": _checked(heats.hit_rate),
    }
    lines = (f"{float(heat)!r}\t{text}\n" for heat, text in _hottest_first(kept))
    # "surrogatepass": a key may hold a lone surrogate, and two of them must not become one letter.
    content = [line.encode("utf-8", "surrogatepass") for line in (f"{json.dumps(facts)}\n", *lines)]
    body = b"".join(content)
    return b"%sversion %d blake2b %s\n%s" % (_MAGIC, _VERSION, _checksum(body), body)


def _hottest_first(kept: list[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Yield ``kept``, hottest first, sorted in portions: one sort of all would be one long call into C."""
    bounds = sorted(heat for heat, _ in kept[:: max(1, len(kept) // _SHARES)])
    shares: list[list[tuple[float, str]]] = [[] for _ in range(len(bounds) + 1)]
    for item in kept:
        shares[bisect(bounds, item[0])].append(item)
    for share in reversed(shares):
        share.sort(key=itemgetter(0), reverse=True)
        yield from share


def _checked(hit_rate: float | None) -> float | None:
    if hit_rate is not None and not 0.0 <= hit_rate <= 1.0:
        raise ValueError(f"the hit rate must be between 0.0 and 1.0, not {hit_rate}")
    return hit_rate


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=32).hexdigest().encode()


def _text_of(key: object) -> str | None:
    """Return ``key`` in JSON, or ``None`` when it would be read back as something else."""
    if type(key) is str:
        return encode_basestring(key)
    if not _comes_back(key, _DEEPEST):
        return None
    try:
        return json.dumps(key, ensure_ascii=False, allow_nan=False)
    except ValueError:  # NaN, infinity, or an int with more digits than Python turns into text
        return None


def _comes_back(key: object, deepest: int) -> bool:
    kind = type(key)
    if kind is tuple:
        return deepest > 0 and all(_comes_back(inner, deepest - 1) for inner in key)  # type: ignore[attr-defined]
    return kind in {str, int, float, bool} or key is None


def decode(content: bytes) -> Heats[Any]:
    """Return the heats that `encode` turned into ``content``.

    :raises ValueError: when ``content`` is not a journal, is damaged, or has a newer version.
    """
    if not content:
        raise ValueError("is empty, expected a hot-key journal")
    if not content.startswith(_MAGIC):
        raise ValueError("is not a hot-key journal")
    first = _FIRST_LINE.match(content, len(_MAGIC))
    if first is None:
        raise ValueError("is damaged: its first line is not complete")
    if int(first[1]) != _VERSION:
        raise ValueError(f"has version {int(first[1])}, but this release reads version {_VERSION}")
    body = content[first.end() :]
    if _checksum(body) != first[2]:
        raise ValueError("is damaged: its checksum does not match")
    try:
        return _decoded(body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"has content that no release writes: {error!r:.100}") from error


def _decoded(body: bytes) -> Heats[Any]:
    facts, *lines = body.split(b"\n")
    header = json.loads(facts)
    read: Callable[[str], Any] = json.JSONDecoder(parse_constant=_refuse).decode
    keys: dict[Any, float] = {}
    if lines.pop():
        raise ValueError("the last line is not complete")
    for line in lines:
        heat, _, text = line.partition(b"\t")
        key = read(text.decode("utf-8", "surrogatepass"))
        keys[_frozen(key) if type(key) is list else key] = _finite(heat)
    if len(keys) != header["keys"] or len(keys) != len(lines):
        raise ValueError(f"{len(keys)} keys in {len(lines)} lines, but {header['keys']} in the header")
    return Heats(keys, _checked(header["hit_rate"]))


def _frozen(array: list[Any]) -> tuple[Any, ...]:
    return tuple(_frozen(inner) if type(inner) is list else inner for inner in array)


def _finite(text: bytes) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a heat must be finite, not {number}")
    return number


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"a key must not be {text}")
