"""zstd in envelopes: large values get smaller, and a decompression bomb is refused."""

from __future__ import annotations

import random
import sys
import tracemalloc

import pytest

from async_backfill._envelopes.envelope import Envelopes
from async_backfill.errors import ConfigurationError

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
from async_backfill._common.zstd import decompress  # noqa: E402
from async_backfill.redis.compression import Zstd  # noqa: E402  only if it is installed

KEY = b"ns:ka"


def test_a_large_value_is_compressed_and_comes_back():
    envelopes = Envelopes(compression=Zstd(above=100))
    (data,) = envelopes.seal_many([KEY], ["x" * 10_000])

    assert len(data) < 200
    assert envelopes.open_many([KEY], [data])[0].value == "x" * 10_000


def test_a_small_value_and_one_that_does_not_become_smaller_are_left_as_they_are():
    plain = Envelopes(wall_clock=lambda: 1.0)
    envelopes = Envelopes(compression=Zstd(above=100), wall_clock=lambda: 1.0)
    values = ["x" * 90, random.Random(1).randbytes(1_000)]

    assert envelopes.seal_many([KEY, KEY], values) == plain.seal_many([KEY, KEY], values)


def test_a_value_that_unpacks_to_more_than_is_allowed_is_a_counted_miss():
    (data,) = Envelopes(compression=Zstd()).seal_many([KEY], ["x" * 900_000])
    envelopes = Envelopes(compression=Zstd(), max_bytes=800_000)

    assert envelopes.open_many([KEY], [data]) == [None]
    assert envelopes.rejected == {"damaged": 1}


@pytest.mark.parametrize("size", [0, 1, 999, 1_000])
def test_what_fits_is_unpacked(size):
    assert decompress(zstd.compress(bytes(size)), 1_000) == bytes(size)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no frame",
        zstd.compress(bytes(1_001)),
        zstd.compress(bytes(100_000_000)),
        zstd.compress(bytes(100))[:-1],
        zstd.compress(bytes(100)) * 2,
        zstd.compress(bytes(100)) + b"x",
        b"\x28\xb5\x2f\xfd\x00\xa0" + bytes(20),  # a window of a gigabyte
    ],
    ids=["empty", "no frame", "too much", "bomb", "cut off", "two frames", "more", "window"],
)
def test_what_is_no_whole_frame_of_what_fits_is_refused(packed):
    with pytest.raises(ValueError, match=r"."):
        decompress(packed, 1_000)


def test_a_bomb_takes_no_more_memory_than_what_is_allowed():
    bomb = zstd.compress(bytes(100_000_000), options={zstd.CompressionParameter.window_log: 17})
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 1000000 bytes"):
        decompress(bomb, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 10_000_000


@pytest.mark.parametrize("settings", [{"above": -1}, {"level": 0}, {"level": 20}, {"above": "1"}])
def test_a_setting_outside_of_what_is_allowed_is_refused(settings):
    with pytest.raises(ConfigurationError):
        Zstd(**settings)
