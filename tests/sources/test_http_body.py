"""The body of an answer: limited in size, unpacked, and complete or refused."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill.sources.http._answers import AnswerError, HTTPSourceError, NoAnswerError
from async_backfill.sources.http._body import Body

PLACE = "https://host/{key}"


def read(pieces, *, most=1000, encoding="", is_delimited=True):
    body = Body(most, encoding=encoding, shown=PLACE)
    for piece in pieces:
        body.add(piece)
    return body.whole(is_delimited=is_delimited)


def cut(content, size):
    return [content[at : at + size] for at in range(0, len(content), size)]


@given(
    content=st.binary(max_size=300), size=st.integers(1, 50), encoding=st.sampled_from(["", "gzip", "GZIP "])
)
def test_what_was_sent_comes_out_in_whatever_pieces_it_came(content, size, encoding):
    packed = gzip.compress(content) if encoding else content

    assert read(cut(packed, size), encoding=encoding) == content


@given(contents=st.lists(st.binary(max_size=50), min_size=1, max_size=5), size=st.integers(1, 50))
def test_gzip_may_have_several_members(contents, size):
    packed = b"".join(map(gzip.compress, contents))

    assert read(cut(packed, size), encoding="gzip") == b"".join(contents)


def deflated(content, wbits):
    packing = zlib.compressobj(wbits=wbits)
    return packing.compress(content) + packing.flush()


@given(
    content=st.binary(max_size=300),
    size=st.integers(1, 50),
    wbits=st.sampled_from([zlib.MAX_WBITS, 9, -zlib.MAX_WBITS, -9]),
    left=st.floats(0.01, 0.99),
)
def test_deflate_is_taken_with_and_without_the_header_of_zlib(content, size, wbits, left):
    packed = deflated(content, wbits)

    assert read(cut(packed, size), encoding="deflate") == content
    with pytest.raises(NoAnswerError, match="cut off"):
        read(cut(packed[: max(int(len(packed) * left), 1)], size), encoding="deflate")


@pytest.mark.parametrize("wbits", [zlib.MAX_WBITS, -zlib.MAX_WBITS])
def test_what_follows_deflated_content_is_refused(wbits):
    with pytest.raises(AnswerError, match="answers with more than its deflate data"):
        read([deflated(b"1", wbits) + b"2"], encoding="deflate")


def test_damaged_deflate_is_refused():
    with pytest.raises(AnswerError, match="answers with damaged deflate"):
        read([b"\xff\xff\xff"], encoding="deflate")
    assert read([], encoding="deflate") == b""


@given(content=st.binary(min_size=1, max_size=100), most=st.integers(1, 120), size=st.integers(1, 50))
def test_a_body_of_the_most_is_taken_and_one_more_byte_is_not(content, most, size):
    if len(content) <= most:
        assert read(cut(content, size), most=most) == content
    else:
        with pytest.raises(AnswerError, match=f"answers with more than max_body={most} bytes"):
            read(cut(content, size), most=most)


@pytest.mark.parametrize("unpacked", [1001, 100_000])
def test_what_is_too_long_when_it_is_unpacked_is_refused(unpacked):
    with pytest.raises(AnswerError, match="max_body=1000"):
        read([gzip.compress(bytes(unpacked))], encoding="gzip")
    assert read([gzip.compress(bytes(1000))], encoding="gzip") == bytes(1000)


@pytest.mark.parametrize("wbits", [16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS])
def test_a_bomb_takes_no_more_memory_than_is_allowed(wbits):
    bomb = deflated(bytes(30_000_000), wbits)
    encoding = "gzip" if wbits > zlib.MAX_WBITS else "deflate"
    tracemalloc.start()
    try:
        with pytest.raises(AnswerError, match="max_body=1000000"):
            read(cut(bomb, 65_536), most=1_000_000, encoding=encoding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


@given(content=st.binary(min_size=1, max_size=100), size=st.integers(1, 50), left=st.floats(0.01, 0.99))
def test_gzip_that_is_cut_off_is_no_answer(content, size, left):
    packed = gzip.compress(content)
    kept = packed[: max(int(len(packed) * left), 1)]
    with pytest.raises(NoAnswerError, match="cut off"):
        read(cut(kept, size), encoding="gzip")


@given(content=st.binary(min_size=20, max_size=100), bit=st.integers(80))
def test_gzip_with_a_flipped_bit_never_says_something_else(content, bit):
    packed = bytearray(gzip.compress(content, mtime=0))
    at = 80 + bit % (8 * (len(packed) - 10))  # behind the header, whose time and flags say nothing
    packed[at // 8] ^= 1 << at % 8
    try:
        said = read([bytes(packed)], most=10_000, encoding="gzip")
    except HTTPSourceError:
        return
    assert said == content


@pytest.mark.parametrize(
    "number",
    [
        *(b"1", b"-1.5", b" 0", b"9e9", b"\xef\xbb\xbf12"),
        *("12".encode(name) for name in ("utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be")),
    ],
)
def test_a_number_is_only_taken_when_http_tells_where_it_ends(number):
    assert read([number]) == number
    with pytest.raises(NoAnswerError, match="the body has no length"):
        read([number], is_delimited=False)


@pytest.mark.parametrize("content", [b"{}", b"[1]", b'"1"', b"null", b"true", b""])
def test_anything_else_may_end_with_the_connection(content):
    assert read([content], is_delimited=False) == content


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "gzip, gzip", "deflate, gzip", "identity, gzip", "x" * 1000]
)
def test_an_encoding_that_was_not_asked_for_is_refused(encoding):
    with pytest.raises(AnswerError, match="expected gzip") as refused:
        Body(10, encoding=encoding, shown=PLACE)

    assert len(str(refused.value)) < 120
