"""Envelopes: values come back unchanged, and any other data is a miss with a reason."""

from __future__ import annotations

import hmac
import itertools
import pickle
import struct
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._envelopes.envelope import LEASE, MAGIC, Envelopes
from async_backfill.errors import ConfigurationError

KEY = b"ns:k\xa1a"
SECRET = b"s" * 32
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(), st.binary()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


class Halving:
    """A compression of the test: it drops the second half of what is twice the same."""

    above = 3

    def compress(self, payload, /):
        middle = len(payload) // 2
        return payload[:middle] if payload == payload[:middle] * 2 else payload

    def decompress(self, payload, limit, /):
        if len(payload) * 2 > limit:
            raise ValueError(f"more than {limit} bytes")
        return payload * 2


class Point(msgspec.Struct):
    x: int
    y: int


def seal(envelopes, value, key=KEY):
    return envelopes.seal_many([key], [value])[0]


def unseal(envelopes, data, key=KEY):
    return envelopes.open_many([key], [data])[0]


def forge(payload, key=KEY, *, version=2, flags=0, codec=b"plain/1"):
    """Return an envelope without a signature that is right in every checksum."""
    start = MAGIC + bytes([version, flags])
    rest = struct.pack(">Id", zlib.crc32(key), 0.0) + bytes([len(codec)]) + codec + payload
    return start + struct.pack(">I", zlib.crc32(rest, zlib.crc32(start))) + rest


@given(VALUES, st.sampled_from([{}, {"signing_key": SECRET}, {"compression": Halving()}]))
def test_a_value_comes_back_as_it_was(value, settings):
    envelopes = Envelopes(**settings)
    copy = unseal(envelopes, seal(envelopes, value))

    assert (copy.value, type(copy.value)) == (value, type(value))
    assert not envelopes.rejected


@pytest.mark.parametrize("settings", [{}, {"signing_key": SECRET}, {"compression": Halving()}])
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_versions_have_the_order_of_their_bytes_and_are_where_the_place_says(settings, one, other):
    envelopes = Envelopes(version_of=lambda value: value[0], **settings)
    place = envelopes.version_place
    first, second = (seal(envelopes, [version, "ab" * 100]) for version in (one, other))

    assert first.startswith(place.starts)
    assert (one < other) is (first[place.at : place.at + 8] < second[place.at : place.at + 8])
    for reader in (envelopes, Envelopes(**settings)):
        assert unseal(reader, first).value == [one, "ab" * 100]


@pytest.mark.parametrize("version", [-1, 2**64, 1.0, "1", None])
def test_a_value_without_a_version_is_not_kept_and_it_is_said_why(version, caplog):
    envelopes = Envelopes(version_of=lambda _: version)

    assert seal(envelopes, "v") is None
    assert envelopes.unkept == {"unencodable": 1}
    assert f"version_of returned {version!r}, not a whole number from 0 to 2**64 - 1" in caplog.text


def test_a_value_comes_back_in_the_type_of_the_store():
    envelopes = Envelopes(Point)

    assert unseal(envelopes, seal(envelopes, Point(1, 2))).value == Point(1, 2)


def test_a_copy_is_as_old_as_the_time_since_it_was_sealed():
    now = [1000.0]
    envelopes = Envelopes(wall_clock=lambda: now[0])
    data = seal(envelopes, "v")
    now[0] = 1002.5

    assert unseal(envelopes, data).age == 2.5


def test_a_copy_from_a_clock_that_is_ahead_is_new():
    now = [1000.0]
    envelopes = Envelopes(wall_clock=lambda: now[0])
    data = seal(envelopes, "v")
    now[0] = 900.0

    assert unseal(envelopes, data).age == 0.0


@pytest.mark.parametrize(
    "settings",
    [{}, {"signing_key": SECRET}, {"version_of": len}],
    ids=["checksum", "signature", "version"],
)
def test_each_single_flipped_bit_makes_a_counted_miss(settings):
    envelopes = Envelopes(**settings)
    data = seal(envelopes, "a value of some letters")
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert unseal(envelopes, bytes(flipped)) is None

    assert envelopes.rejected.total() == len(data) * 8


@pytest.mark.parametrize(
    "settings",
    [{}, {"signing_key": SECRET}, {"version_of": len}],
    ids=["checksum", "signature", "version"],
)
def test_an_envelope_that_was_cut_off_or_goes_on_is_a_counted_miss(settings):
    envelopes = Envelopes(**settings)
    data = seal(envelopes, "a value of some letters")
    others = [data[:length] for length in range(len(data))] + [data + b"\0", data * 2]

    assert envelopes.open_many([KEY] * len(others), others) == [None] * len(others)
    assert envelopes.rejected.total() == len(others)


@given(st.binary())
def test_random_bytes_are_a_miss(data):
    assert unseal(Envelopes(), data) is None
    assert unseal(Envelopes(), MAGIC + b"\x02\x00" + data) is None


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was run",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_a_counted_miss_and_never_run(protocol):
    envelopes = Envelopes()
    bomb = pickle.dumps(Bomb(), protocol)

    assert unseal(envelopes, bomb) is None
    assert unseal(envelopes, forge(bomb)) is None
    assert envelopes.rejected.total() == 2


@pytest.mark.parametrize(
    "payload",
    [b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 100_000, b"\xc1", b"", b"\xa5abc"],
    ids=["long list", "long bytes", "deep", "reserved", "empty", "short text"],
)
def test_a_payload_that_is_no_messagepack_is_a_counted_miss(payload):
    envelopes: Envelopes[Any] = Envelopes()

    assert unseal(envelopes, forge(payload)) is None
    assert envelopes.rejected == {"wrong_type": 1}


@pytest.mark.parametrize(
    ("settings", "data", "reason"),
    [
        ({}, seal(Envelopes(), "v", b"ns:kother"), "other_key"),
        ({}, forge(b"\x01", version=3), "newer_version"),
        ({}, forge(b"\x01", version=1), "not_ours"),
        ({}, b"", "not_ours"),
        ({}, forge(b"\x01", flags=8), "damaged"),
        ({}, b"x" * 1_000_001, "too_large"),
        ({}, seal(Envelopes(signing_key=SECRET), "v"), "signed"),
        ({"signing_key": SECRET}, seal(Envelopes(), "v" * 50), "unsigned"),
        ({"signing_key": SECRET}, seal(Envelopes(signing_key=b"t" * 32), "v"), "badly_signed"),
        ({"signing_key": SECRET}, seal(Envelopes(signing_key=SECRET), "v", b"other"), "badly_signed"),
        ({}, seal(Envelopes(compression=Halving()), b"aa"), None),
        ({}, forge(b"\x01", flags=2), "compressed"),
        ({"compression": Halving(), "max_bytes": 48}, forge(b"\x01" * 13, flags=2), "wrong_type"),
        ({"compression": Halving(), "max_bytes": 60}, forge(b"\x01" * 31, flags=2), "damaged"),
        ({"value_type": int}, forge(b"\xa1v", codec=b"typed int/1"), "wrong_type"),
        ({"value_type": int}, seal(Envelopes(), 1), "other_codec"),
        ({}, seal(Envelopes(int), 1), "other_codec"),
        ({}, forge(b"\x01", codec=b"plain/2"), "other_codec"),
        ({}, forge(b"\x01", codec=b"plain"), "other_codec"),
        ({"value_type": int}, forge(b"\x01", codec=b"typed str/1"), "other_codec"),
    ],
    ids=itertools.count(),  # what they hold differs from run to run
)
def test_what_cannot_be_used_is_counted_by_its_reason(settings, data, reason):
    envelopes = Envelopes(**settings)
    copy = unseal(envelopes, data)

    assert (copy is None) is (reason is not None)
    assert dict(envelopes.rejected) == ({reason: 1} if reason else {})


def test_the_marker_of_a_lease_is_a_miss_and_nothing_wrong():
    envelopes = Envelopes()

    assert unseal(envelopes, LEASE + b"token") is None
    assert unseal(envelopes, None) is None
    assert not envelopes.rejected
    assert not seal(envelopes, "v").startswith(LEASE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("v" * 200, "too_large"), (object(), "unencodable"), ([{"a": [object()]}], "unencodable")],
    ids=["large", "object", "an object inside"],
)
@pytest.mark.parametrize("settings", [{}, {"signing_key": SECRET}], ids=["checksum", "signature"])
def test_a_value_that_cannot_be_kept_is_counted_by_its_reason(value, reason, settings):
    envelopes = Envelopes(max_bytes=200, **settings)

    assert envelopes.seal_many([KEY, KEY], [value, 1])[0] is None
    assert envelopes.seal_many([KEY, KEY], [value, 1])[1] is not None
    assert envelopes.unkept == {reason: 2}


@given(st.integers(1, 400))
def test_what_is_sealed_is_never_too_large_to_be_opened(length):
    for settings in ({}, {"signing_key": SECRET}, {"compression": Halving()}):
        envelopes = Envelopes(max_bytes=200, **settings)
        data = seal(envelopes, b"a" * length)

        assert (data is None) is (envelopes.unkept.total() == 1)
        assert data is None or unseal(envelopes, data).value == b"a" * length


def test_a_signature_is_the_hmac_of_the_header_the_key_and_the_value():
    data = seal(Envelopes(signing_key=SECRET), "v")
    signed = data[:3] + struct.pack(">I", len(KEY)) + KEY + data[35:]

    assert data[3:35] == hmac.digest(SECRET, signed, "sha256")


@pytest.mark.parametrize(
    ("setting", "settings"),
    [
        ("signing_key", {"signing_key": b"short"}),
        ("max_value_bytes", {"max_bytes": 0}),
        ("value_type", {"value_type": int | str | bytes | Envelopes}),
    ],
)
def test_a_setting_outside_of_what_is_allowed_is_refused(setting, settings):
    with pytest.raises(ConfigurationError, match=setting):
        Envelopes(**settings)


def test_a_signing_key_is_not_shown():
    with pytest.raises(ConfigurationError) as refused:
        Envelopes(signing_key=b"short secret")

    assert "secret" not in str(refused.value)
