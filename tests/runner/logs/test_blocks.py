"""Blocks of whole lines: nothing is lost or cut, for any pieces and any packing."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.logs.blocks import LineBlocks
from async_backfill.errors import ScenarioError


def blocks_of(content, size):
    cut = LineBlocks("a.log")
    found = []
    for start in range(0, len(content), size):
        found += cut.feed(content[start : start + size])
    return [*found, *cut.finish()]


lines = st.lists(st.text("ab\r\0é", max_size=6).map(str.encode), max_size=20)


@given(lines=lines, size=st.integers(1, 40), ends=st.booleans(), members=st.integers(0, 3))
def test_the_blocks_are_the_lines_in_their_order(lines, size, ends, members):
    content = b"\n".join(lines) + b"\n" * ends
    if members:  # gzip may be several files one after another
        third = len(content) // members + 1
        packed = [gzip.compress(content[start : start + third]) for start in range(0, len(content), third)]
        packed_content = b"".join(packed) if packed else gzip.compress(b"")
    found = b"\n".join(blocks_of(packed_content if members else content, size))

    assert found.split(b"\n") == content.removesuffix(b"\n").split(b"\n")


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_byte_order_mark_is_left_out_at_the_begin_and_nowhere_else(size, pack):
    content = "\ufeffa\n\ufeffb\n".encode()
    assert b"\n".join(blocks_of(pack(content), size)).decode() == "a\n\ufeffb"


def test_zeros_between_and_after_gzip_members_are_padding():
    content = gzip.compress(b"a\n") + b"\0" * 10 + gzip.compress(b"b\n") + b"\0" * 10
    assert blocks_of(content, 7) == [b"a", b"b"]


def test_gzip_of_whatever_ratio_is_unpacked_a_bounded_piece_at_a_time():
    packed = gzip.compress(b"0123456789\n" * 2_000_000)
    sizes = [len(block) for block in blocks_of(packed, 1 << 18)]

    assert sum(sizes) + len(sizes) == 22_000_000
    assert max(sizes) < 2 * (1 << 20)


PACKED = gzip.compress(b"".join(b"%d\n" % number for number in range(1_000)))


@given(cut=st.integers(1, len(PACKED) - 2))
def test_gzip_that_was_cut_off_anywhere_is_refused(cut):
    with pytest.raises(ScenarioError, match=r"^a\.log: the gzip data is cut off or damaged: "):
        blocks_of(PACKED[:-cut], 1000)


def test_what_follows_gzip_and_is_none_is_refused():
    with pytest.raises(ScenarioError, match=r"^a\.log: the gzip data is cut off or damaged: "):
        blocks_of(gzip.compress(b"a\n") + b"b\n", 1000)


@pytest.mark.parametrize("content", [b"x" * 1_100_000, b"a\n" + b"x" * 2_000_000 + b"\na\n"])
def test_a_line_that_is_no_line_of_a_log_is_refused_before_it_fills_the_memory(content):
    with pytest.raises(ScenarioError, match=r"^a\.log: has a line of more than 1,048,576 bytes"):
        blocks_of(content, 1 << 18)
