"""Packed files: told by their first bytes, unpacked in bounded memory, refused when they are not whole."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill.errors import MissingExtraError, ScenarioError
from async_backfill.sources._rows.packed import MAGIC_SIZE, Unpacking, packing_of
from async_backfill.sources._rows.tables import read_table, read_text
from async_backfill.sources.file import FileSource
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

CHECKED = {zstd.CompressionParameter.checksum_flag: 1}
PACKS = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda content: zstd.compress(content, options=CHECKED),
}
SKIPPED = struct.pack("<II", 0x184D2A50, 4) + b"abcd"  # a frame of zstd that holds no content


def unpacked(content: bytes, size: int = 1 << 18) -> list[bytes]:
    unpacking = Unpacking("FILE", packing_of(content[:MAGIC_SIZE]))
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    found = [part for piece in pieces for part in unpacking.feed(piece)]
    unpacking.finish()
    return found


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
@given(members=st.lists(st.binary(max_size=300), min_size=1, max_size=4), size=st.integers(1, 50))
def test_members_of_any_size_in_pieces_of_any_size_are_one_content(pack, members, size):
    content = b"".join(pack(member) + b"\0" * 4 for member in members)
    assert b"".join(unpacked(content, size)) == b"".join(members)


@pytest.mark.parametrize("packing", PACKS)
def test_the_first_bytes_say_how_a_file_is_packed(packing):
    assert packing_of(PACKS[packing](b"")[:MAGIC_SIZE]) == packing
    assert packing_of(PACKS[packing](b"a")[:MAGIC_SIZE]) == packing


@pytest.mark.parametrize("begin", [b"", b"BZh9 is a key\n", b"(a,b)\n", b"PAR1", b"\xfd"])
def test_other_files_are_not_packed(begin):
    assert packing_of(begin) is None


def test_a_frame_of_zstd_that_is_to_be_skipped_is_skipped():
    assert b"".join(unpacked(SKIPPED + zstd.compress(b"a", 3) + SKIPPED)) == b"a"


@pytest.mark.parametrize("packing", PACKS)
def test_whatever_the_ratio_at_most_a_mib_is_unpacked_at_a_time(packing):
    sizes = list(map(len, unpacked(PACKS[packing](b"a" * 10_000_000))))
    assert sum(sizes) == 10_000_000
    assert max(sizes) <= 1 << 20


@pytest.mark.parametrize("packing", PACKS)
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda packed: packed[:-1], id="cut off at the end"),
        pytest.param(lambda packed: packed[: len(packed) // 2], id="cut off in the middle"),
        pytest.param(lambda packed: packed[:10], id="little but the magic number"),
        pytest.param(lambda packed: packed + b"more", id="something after it"),
        pytest.param(lambda packed: packed[:60] + b"\xff" * 30 + packed[90:], id="wrong data"),
    ],
)
def test_what_is_damaged_is_refused_and_never_cut_short(packing, damage):
    packed = PACKS[packing](b"".join(b"%d\n" % number for number in range(3000)))
    with pytest.raises(ScenarioError, match=f"^FILE: the {packing} data is cut off or damaged: "):
        unpacked(damage(packed))


@pytest.mark.anyio
@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
async def test_a_table_and_a_file_are_read_packed_under_any_name(tmp_path, pack):
    path = tmp_path / "rows.csv"
    path.write_bytes(pack(b"id,v\na,1\nb,2\n"))
    assert await read_table(path, key="id", value="v") == {"a": "1", "b": "2"}
    async with FileSource(path, key="id", value="v") as source:
        assert await source.load_many(["a", "b"]) == {"a": "1", "b": "2"}


@pytest.mark.anyio
@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
async def test_a_bomb_of_any_kind_is_bounded(tmp_path, pack, monkeypatch):
    monkeypatch.setattr("async_backfill.sources._rows.tables.MOST_UNPACKED", 1_000_000)
    path = tmp_path / "bomb"
    path.write_bytes(pack(b"a" * 10_000_000))
    with pytest.raises(ScenarioError, match="unpacks to more than 1,000,000 bytes"):
        await read_text(path)
    with pytest.raises(ScenarioError, match="unpacks to more than max_unpacked=1000000 bytes"):
        await FileSource(path, key="a", max_unpacked=1_000_000).open()


@pytest.mark.anyio
async def test_zstd_without_its_library_is_refused_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "async_backfill._common.zstd", raising=False)
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    path = tmp_path / "rows"
    path.write_bytes(zstd.compress(b"id\n", 3))
    for reading in (read_text(path), FileSource(path, key="id").open()):
        with pytest.raises(MissingExtraError, match=r"is packed with zstd: needs .*async-backfill\[zstd\]"):
            await reading
