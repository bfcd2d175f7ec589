"""The URL of a key: any key stays in one segment, and errors show no secret."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill.sources.http._answers import KeyTextError
from async_backfill.sources.http._template import KeyURL

ITEMS = "https://host:8443/v1/items/{key}/full?lang=en"
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("key", "segment"),
    [
        ("a", "a"),
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("a?b#c&d=e", "a%3Fb%23c%26d%3De"),
        ("100%", "100%25"),
        ("%2e%2e", "%252e%252e"),
        ("..;", "..%3B"),
        ("...", "..."),
        ("a\n\r\x00\x7f", "a%0A%0D%00%7F"),
        ("é\u2028", "%C3%A9%E2%80%A8"),
        ("{key}", "%7Bkey%7D"),
        ("//evil", "%2F%2Fevil"),
        ("user@evil:1", "user%40evil%3A1"),
        ("\\", "%5C"),
    ],
)
def test_a_key_is_percent_encoded_into_one_segment(key, segment):
    assert KeyURL(ITEMS).of(key) == f"https://host:8443/v1/items/{segment}/full?lang=en"


@given(key=any_text)
def test_any_key_is_one_segment_that_says_the_key_or_is_refused(key):
    assume({".", ".."}.isdisjoint(key.replace("\\", "/").split("/")))
    parts = urlsplit(KeyURL(ITEMS).of(key))

    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("https", "host:8443", "lang=en", "")
    segments = parts.path.split("/")
    assert [*segments[:3], *segments[4:]] == ["", "v1", "items", "full"]
    assert unquote(segments[3], errors="strict") == key
    assert segments[3].isascii()


@given(keys=st.lists(any_text, unique=True, min_size=2, max_size=2))
def test_two_keys_never_have_one_url(keys):
    urls = set()
    for key in keys:
        assume({".", ".."}.isdisjoint(key.replace("\\", "/").split("/")))
        urls.add(KeyURL(ITEMS).of(key))

    assert len(urls) == 2


@pytest.mark.parametrize(
    "key", ["", ".", "..", "a/..", "../a", "a/../b", "./a", "..\\a", "a\\..\\b", "/..", "a/."]
)
def test_a_key_that_servers_would_take_for_another_place_is_refused(key):
    with pytest.raises(KeyTextError, match="would be the URL of another resource"):
        KeyURL("https://host/items/{key}").of(key)


def test_a_dot_is_a_key_where_it_is_no_segment_by_itself():
    assert KeyURL("https://host/{key}.json").of("..") == "https://host/...json"
    assert KeyURL("https://host/item-{key}").of("") == "https://host/item-"
    with pytest.raises(KeyTextError):
        KeyURL("https://host/.{key}").of(".")


@pytest.mark.parametrize("key", ["\ud800", "a\udc80b"])
@pytest.mark.parametrize("template", ["https://host/{key}", "https://host/?id={key}"])
def test_a_lone_surrogate_is_refused(key, template):
    with pytest.raises(KeyTextError, match="lone surrogate"):
        KeyURL(template).of(key)


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("..", "https://host/items?id=..&x=1"),
        ("", "https://host/items?id=&x=1"),
        ("a&x=2", "https://host/items?id=a%26x%3D2&x=1"),
    ],
)
def test_in_the_query_any_text_is_a_value(key, url):
    assert KeyURL("https://host/items?id={key}&x=1").of(key) == url


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ("me:pass", "Basic bWU6cGFzcw=="),
        ("me", "Basic bWU6"),
        ("m%40e:p%3Ass", "Basic bUBlOnA6c3M="),
        (":pass", "Basic OnBhc3M="),
    ],
)
def test_a_user_becomes_a_header_and_leaves_the_url(user, header):
    url = KeyURL(f"https://{user}@host/{{key}}")

    assert url.authorization == header
    assert url.of("a") == "https://host/a"
    assert url.shown == "https://host/{key}"
    assert KeyURL("https://host/{key}").authorization is None


def test_what_is_not_ascii_in_a_template_is_percent_encoded_and_nothing_else():
    template = "https://host/ü/a%2Fb/%7e/../x;y=1/{key}/?q=é+%20&r=|a/b"

    assert KeyURL(template).of("k") == "https://host/%C3%BC/a%2Fb/%7e/../x;y=1/k/?q=%C3%A9+%20&r=|a/b"


def test_what_is_shown_has_no_query():
    assert KeyURL("https://u:p@host:1/a/{key}?token=secret").shown == "https://host:1/a/{key}?..."
    assert KeyURL("https://u:p@host:1/a?token=secret&id={key}").shown == "https://host:1/a?..."


@pytest.mark.parametrize(
    "template",
    [
        "",
        "  ",
        "host/items/{key}",
        "/items/{key}",
        "ftp://u:secret@host/{key}",
        "file:///{key}",
        "https://",
        "https:///{key}",
        "https://u:secret@/{key}",
        "https://{key}/items",
        "https://u:secret@{key}.host/items",
        "https://u:secret@host/items",
        "https://u:secret@host/{key}/{key}",
        "https://u:secret@host/#{key}",
        "https://u:secret@host/{key}#part",
        "https://u:secret@host/{key}#",
        "https://u:secret@host/a b/{key}",
        "https://u:secret@host/\n{key}",
        "https://u:secret@host\\evil/{key}",
        "https://u:secret@host:99999/{key}",
        "https://u:secret@host:port/{key}",
        "https://u:secret@host:0/{key}",
        "https://u:secret@[host/{key}",
        "https://u:{key}@host/items",
        None,
        5,
        b"https://host/{key}",
    ],
)
def test_a_template_that_is_none_is_refused_in_one_line_without_its_secrets(template):
    with pytest.raises(ConfigurationError) as refused:
        KeyURL(template)

    assert refused.value.setting == "url"
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
