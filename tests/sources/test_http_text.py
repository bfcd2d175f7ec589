"""The encoding of an answer's text: what its bytes say, then what its header says, else UTF-8."""

from __future__ import annotations

import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from async_backfill.sources.http import AnswerError, Batch, HTTPSource, post_keys
from async_backfill.sources.http._text import utf8_json
from tests.servers.http import Reply, start_http

PLACE = "https://host/{key}"
VALUES = st.recursive(st.text(max_size=5) | st.integers(), lambda part: st.dictionaries(st.text(), part))
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@given(
    value=VALUES,
    encoding=st.sampled_from(sorted(MARKS)),
    has_mark=st.booleans(),
    charset=st.sampled_from([None, "utf-8", "UTF-8", "iso-8859-1"]),
)
def test_what_unicode_it_is_the_bytes_say_themselves(value, encoding, has_mark, charset):
    said = json.dumps(value, ensure_ascii=False)
    sent = (MARKS[encoding] if has_mark else b"") + said.encode(encoding)
    if encoding != "utf-8" or has_mark or charset != "iso-8859-1":
        assert utf8_json(sent, charset, PLACE).decode() == said


@pytest.mark.parametrize(
    "charset", ["iso-8859-1", "Latin1", "windows-1252", "ISO-8859-15", "cp1252", "utf-8", "UTF8"]
)
def test_the_charset_of_the_header_is_used(charset):
    assert utf8_json('"é"'.encode(charset), charset, PLACE).decode() == '"é"'


@pytest.mark.parametrize("charset", ["shift_jis", "euc-jp", "gb18030", "big5", "euc-kr", "koi8-r"])
def test_other_alphabets_are_read_too(charset):
    text = '"Я"' if charset == "koi8-r" else '"中"'

    assert utf8_json(text.encode(charset), charset, PLACE).decode() == text


@pytest.mark.parametrize("charset", ["no-such", "zlib", "idna", "punycode", "utf-7", "../x", "x" * 1000, "é"])
def test_a_charset_that_is_unknown_or_slow_is_refused(charset):
    with pytest.raises(AnswerError, match=r"answers with the charset .*, which is unknown$") as refused:
        utf8_json(b'"a"', charset, PLACE)

    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    ("body", "charset", "told"),
    [
        (b'"\x00\xff\xdf"', None, "utf-16-le"),
        (b'\xff\xfe"\x00\x00\xd8"\x00', None, "utf-16"),
        (b'"\x81"', "windows-1252", "cp1252"),
    ],
)
def test_text_in_another_encoding_than_it_says_is_refused(body, charset, told):
    with pytest.raises(AnswerError, match=rf"^https://host/{{key}} answers with text that is not {told}$"):
        utf8_json(body, charset, PLACE)


@pytest.mark.anyio
async def test_a_service_may_write_in_its_own_encoding():
    with start_http() as server:
        server.lay_out("/items/a", Reply(body=b'\xef\xbb\xbf{"n": 1}'))
        latin = {"Content-Type": "application/json;charset=ISO-8859-1"}
        server.lay_out("/items/b", Reply(body='"é"'.encode("latin-1"), headers=latin))
        server.lay_out("/batch", Reply(body='{"a": "é", "b": 2}'.encode("utf-16")))
        batch = Batch(request=post_keys(f"{server.url}/batch"))
        async with HTTPSource(f"{server.url}/items/{{key}}", batch=batch) as source:
            assert await source.load_many(["a"]) == {"a": {"n": 1}}
            assert await source.load_many(["b"]) == {"b": "é"}
            assert await source.load_many(["a", "b"]) == {"a": "é", "b": 2}
