"""A snapshot on disk: what was written comes back, and nothing is made of what was damaged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, ConfigurationError, MappingSource, SnapshotError
from async_backfill.records import Provenance, RestoreState
from async_backfill.stores._snapshot.files import SnapshotFiles
from async_backfill.stores._snapshot.format import Entry, Facts, SnapshotCodec, digest_of
from async_backfill.stores._snapshot.keys import CHANGED, CLEARED, EVICTED, LOADED, PackedKeys
from async_backfill.stores._snapshot.log import LogCodec
from async_backfill.stores.codecs import FunctionCodec, Zstd
from async_backfill.stores.snapshot_file import SnapshotFile
from tests.backfill.test_journal_file import any_keys, needs_a_user_with_limits
from tests.common.key_values import CLASSES, Markup, Number, Point, Shade, are_one

pytestmark = pytest.mark.asyncio

KEY = b"k" * 16
NOW = 1_000_000.0
FACTS = Facts(
    provenance=Provenance(time=NOW, host="here"),
    version="",
    namespace="",
    order="LruOrder",
    entries=2,
    log="a",
)


@dataclass(frozen=True)
class Seat:
    row: int


def codecs(**settings):
    file = SnapshotFile("unused", **settings)
    keys = PackedKeys(file.key_type)
    return SnapshotCodec(file, keys, lambda: NOW), LogCodec(keys, file.signing_key)


def content_of(entries, ghosts=(), **settings):
    codec, _ = codecs(**settings)
    body = codec.start(FACTS) + codec.entries(entries, NOW)[0] + codec.ghosts(ghosts)
    return body + codec.end(digest_of(body).digest())


def read(content, **settings):
    codec, _ = codecs(**settings)
    found = codec.opened(content)
    entries = [entry for frame in found.entries for entry in codec.entries_of(frame)]
    return found.facts, entries, [key for frame in found.ghosts for key in codec.keys_of(frame)]


SMALL = [Entry("a", {"n": 1}, NOW + 5.5, 1, 3), Entry(("b", 2), None, None, 0, 0)]


@settings(max_examples=25)
@given(keys=st.lists(any_keys, max_size=5))
async def test_entries_and_ghosts_come_back_as_they_were(keys):
    entries = [Entry(key, [number], None, 0, number % 4) for number, key in enumerate(keys)]
    facts, back, ghosts = read(content_of(entries, keys))
    assert facts == FACTS
    assert repr(back) == repr(entries)
    assert repr(ghosts) == repr(keys)


@pytest.mark.parametrize("settings", [{}, {"signing_key": KEY}], ids=["plain", "signed"])
async def test_no_flipped_bit_and_no_cut_goes_unnoticed(settings):
    content = content_of(SMALL, ["ghost"], **settings)
    assert read(content, **settings)[1] == SMALL
    codec, _ = codecs(**settings)
    damaged = [content[:at] for at in range(len(content))] + [content + b"\0"]
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        damaged.append(bytes(flipped))
    for wrong in damaged:
        with pytest.raises(ValueError, match=r"^(is |has version)"):
            codec.opened(wrong)


@pytest.mark.parametrize("settings", [{}, {"signing_key": KEY}], ids=["plain", "signed"])
async def test_no_flipped_bit_of_a_log_goes_unnoticed(settings):
    _, codec = codecs(**settings)
    records = [
        codec.record(bytes([LOADED, LOADED, LOADED]), ["a", "b", "d"], "log"),
        codec.record(bytes([CHANGED, CHANGED, EVICTED]), ["b", ("c", 1), "d"], "log"),
    ]
    content = b"".join(records)
    changes = codec.changes(content, "log")
    assert (changes.changed, [*changes.loaded], [*changes.evicted]) == ({"b", ("c", 1)}, ["a"], ["d"])
    assert changes.size == len(content)
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(ValueError, match="has a damaged log"):
            codec.changes(bytes(flipped), "log")


async def test_a_record_that_was_cut_off_by_a_kill_had_not_happened():
    _, codec = codecs()
    first, second = codec.record(bytes([LOADED]), ["a"], "log"), codec.record(bytes([CLEARED]), [None], "log")
    for cut in range(len(second)):
        changes = codec.changes(first + second[:cut], "log")
        assert (changes.is_cleared, [*changes.loaded], changes.size) == (False, ["a"], len(first))


class AnyCase:
    """A text that is compared in a way of its own, also with plain ones."""

    def __init__(self, text):
        self.text = text.lower()

    def __eq__(self, other):
        return self.text == (other.text if isinstance(other, AnyCase) else other)

    def __hash__(self):
        return hash(self.text)


equal_keys = st.recursive(
    any_keys.map(lambda key: (key, key))
    | st.sampled_from(
        [
            ("red", Shade.RED),
            ("red", AnyCase("Red")),
            ("a", Markup("a")),
            (1, Number.ONE),
            (1, Decimal(1)),
            ((1, "red"), Point(1, "red")),
            ((1, "red"), Point(Number.ONE, Shade.RED)),
            (Seat(1), Seat(Number.ONE)),
        ]
    ),
    lambda pairs: st.lists(pairs, max_size=3).map(
        lambda some: (tuple(one for one, _ in some), tuple(other for _, other in some))
    ),
    max_leaves=4,
)


packed_by = st.sampled_from([PackedKeys(key_type) for key_type in (Any, CLASSES, (*CLASSES, Seat))])


@settings(max_examples=100)
@given(pair=equal_keys, swap=st.booleans(), writer=packed_by, reader=packed_by)
async def test_what_changed_under_an_equal_key_is_not_restored(pair, swap, writer, reader):
    saved, changed = reversed(pair) if swap else pair
    assert are_one(saved, changed)
    restored = reader.keys(writer.many([saved]))
    changes = LogCodec(reader, None).changes(LogCodec(writer, None).record(b"-", [changed], "log"), "log")
    assert changes.is_cleared or changes.changed.issuperset(restored)


async def test_a_change_costs_other_keys_only_where_its_key_may_be_equal_to_any():
    _, codec = codecs()
    for key, is_cleared in [
        (Shade.RED, False),
        (Seat(1), False),
        (("b", Seat(2)), False),
        (AnyCase("a"), True),
    ]:
        changes = codec.changes(codec.record(bytes([LOADED, CHANGED]), ["a", key], "log"), "log")
        assert changes.is_cleared is is_cleared


async def test_the_log_of_another_snapshot_is_not_taken_for_its_own():
    _, codec = codecs(signing_key=KEY)
    with pytest.raises(ValueError, match="damaged log"):
        codec.changes(codec.record(bytes([LOADED]), ["a"], "log"), "another")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no snapshot"),
        (b"\x80\x04K\x01.", "is no snapshot"),
        (b"async_backfill snapshot version 2 plain\n", "has version 2, but this release reads version 1"),
        (content_of(SMALL, signing_key=KEY), "is signed, and there is no signing_key"),
    ],
)
async def test_what_is_no_snapshot_of_ours_is_said_in_one_line(content, reason):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read(content)


async def test_a_snapshot_signed_with_another_key_is_not_read():
    with pytest.raises(ValueError, match="signature does not match"):
        read(content_of(SMALL, signing_key=KEY), signing_key=b"o" * 16)


async def test_values_that_another_codec_wrote_are_left_out():
    wrote = {"codec": FunctionCodec(str.encode, bytes.decode, name="text")}
    content = content_of([Entry("a", "text", None, 0, 0)], **wrote)
    assert read(content, **wrote)[1] == [Entry("a", "text", None, 0, 0)]
    assert read(content)[1] == []


async def test_keys_of_a_class_that_was_not_given_are_left_out():
    entries = [Entry(Seat(1), 1, None, 0, 0), Entry("b", 2, None, 0, 0)]
    content = content_of(entries, key_type=Seat)
    assert read(content, key_type=Seat)[1] == entries
    assert read(content)[1] == entries[1:]
    assert read(content_of(entries))[1] == entries[1:]


async def test_large_values_are_compressed():
    entries = [Entry("a", "x" * 10_000, None, 0, 0)]
    content = content_of(entries, compression=Zstd())
    assert len(content) < 1_000
    assert read(content, compression=Zstd())[1] == entries


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"restored": "fresh"}, "restored"),
        ({"max_age": 0}, "max_age"),
        ({"max_bytes": 9_999}, "max_bytes"),
        ({"version": 2}, "version"),
        ({"stale_for": -1}, "stale_for"),
        ({"save_every": 0}, "save_every"),
    ],
)
async def test_a_setting_that_is_not_allowed_is_refused_with_its_name(settings, name):
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        SnapshotFile("unused", **settings)


def cache_of(path, **settings):
    rows = dict.fromkeys(range(1_000), "x" * 100)
    file: SnapshotFile[Any, Any] = SnapshotFile(path, **{"restored": "trusted", **settings})
    return BackfillCache(MappingSource(rows), snapshot=file)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix not in {".lock", ".log"})


async def test_a_damaged_file_is_reported_put_aside_and_replaced(tmp_path, caplog):
    path = tmp_path / "values"
    async with cache_of(path) as cache:
        await cache.get_many(range(10))
    path.write_bytes(path.read_bytes()[:-1])
    async with cache_of(path) as cache:
        assert cache.stats.size == 0
        assert cache.stats.snapshot.state is RestoreState.REFUSED
        await cache.get(1)
    assert "values was refused: is damaged: its checksum or signature does not match" in caplog.text
    assert names_in(tmp_path) == ["values", "values.refused"]
    async with cache_of(path) as cache:
        assert cache.stats.size == 1


async def test_a_snapshot_without_its_log_is_not_used(tmp_path):
    path = tmp_path / "values"
    async with cache_of(path) as cache:
        await cache.get(1)
    for log in tmp_path.glob(".*.log"):
        log.unlink()
    async with cache_of(path) as cache:
        assert cache.stats.snapshot.reason == "has lost its log of changes"
        assert cache.stats.size == 0


async def test_a_file_is_no_larger_than_it_may_be_and_has_what_is_evicted_last(tmp_path):
    path = tmp_path / "values"
    async with cache_of(path, max_bytes=20_000) as cache:
        await cache.get_many(range(1_000))
    assert 10_000 < path.stat().st_size <= 20_000
    async with cache_of(path) as cache:
        restored = cache.stats.snapshot.restored
        assert 50 < restored < 200
        assert [key for key in range(1_000) if cache.peek(key, None)] == [*range(1_000 - restored, 1_000)]


async def test_that_entries_are_left_out_of_a_snapshot_is_counted_and_said_once(tmp_path, caplog):
    async with cache_of(tmp_path / "values") as cache:
        await cache.put_many({1: object(), Seat(2): "seat", 3: "kept"})
        for _ in range(2):
            stats = await cache.save_snapshot()
            assert (stats.saved_entries, stats.saved_without) == (1, 2)
    assert caplog.text.count("lacks 2 of 3 entries") == 1


async def test_a_full_disk_leaves_the_older_snapshot_and_its_log(tmp_path, monkeypatch, caplog):
    path = tmp_path / "values"
    async with cache_of(path) as cache:
        await cache.get(1)
        await cache.save_snapshot()
        before = names_in(tmp_path), sorted(tmp_path.glob(".*.log")), path.read_bytes()

        def fail(_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as full:
            full.setattr(os, "fsync", fail)
            for _ in range(2):
                with pytest.raises(SnapshotError, match="No space left on device"):
                    await cache.save_snapshot()
        assert (names_in(tmp_path), sorted(tmp_path.glob(".*.log")), path.read_bytes()) == before
        assert (cache.stats.snapshot.saved, cache.stats.snapshot.failed) == (1, 2)
        assert caplog.text.count("was not saved") == 1
        await cache.save_snapshot()


async def test_a_log_that_cannot_be_written_takes_its_snapshot_along(tmp_path, monkeypatch, caplog):
    path = tmp_path / "values"
    async with cache_of(path) as cache:
        await cache.get(1)
        await cache.save_snapshot()

        def fail(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as full:
            full.setattr(os, "write", fail)
            await cache.invalidate(1)
        assert names_in(tmp_path) == []
        assert "is removed: its log was not written" in caplog.text
        await cache.save_snapshot()
    assert names_in(tmp_path) == ["values"]


@needs_a_user_with_limits
async def test_a_folder_that_may_not_be_written_is_no_reason_to_fail(tmp_path):
    tmp_path.chmod(0o555)
    try:
        async with cache_of(tmp_path / "values") as cache:
            assert await cache.get(1)
            with pytest.raises(SnapshotError):
                await cache.save_snapshot()
    finally:
        tmp_path.chmod(0o755)


async def test_a_folder_that_is_not_there_is_no_reason_to_fail(tmp_path, caplog):
    async with cache_of(tmp_path / "missing" / "values") as cache:
        assert await cache.get(1)
    assert "was not saved" in caplog.text


async def test_a_path_that_is_no_file_is_refused_and_left_alone(tmp_path):
    async with cache_of(tmp_path) as cache:
        assert cache.stats.snapshot.state is RestoreState.REFUSED
    assert tmp_path.is_dir()


async def test_another_cache_loads_a_snapshot_in_use_but_does_not_save_to_it(tmp_path):
    path = tmp_path / "values"
    async with cache_of(path) as first:
        await first.get(1)
        await first.save_snapshot()
        async with cache_of(path) as second:
            assert second.peek(1, None)
            with pytest.raises(SnapshotError, match="another process saves to it"):
                await second.save_snapshot()


async def test_reading_never_follows_a_log_name_out_of_the_folder(tmp_path):
    codec, logs = codecs()
    files: SnapshotFiles[Any, Any] = SnapshotFiles(tmp_path / "values", codec, logs, max_bytes=10_000)
    assert files.log_path("../../etc/passwd").parent == tmp_path
