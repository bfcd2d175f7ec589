"""Secrets come from the environment, into URLs, and nowhere else."""

from __future__ import annotations

import json
import string
from urllib.parse import quote, quote_plus, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill._runner.scenario.environment import Secrets, expand_url


def test_a_variable_stands_where_its_name_stood():
    url = expand_url("postgresql://app:${PGPASSWORD}@db:5432/shop", {"PGPASSWORD": "secret"}, Secrets())

    assert url == "postgresql://app:secret@db:5432/shop"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_password_may_be_any_text(password):
    url = expand_url("redis://:${P}@cache:6379/0", {"P": password}, Secrets())

    assert unquote(urlsplit(url).password or "") == password
    assert urlsplit(url).hostname == "cache"


def test_a_url_without_variables_is_left_as_it_is():
    assert expand_url("http://host/items/{key}?a=$1", {}, Secrets()) == "http://host/items/{key}?a=$1"


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(ConfigurationError, match="the environment variable PGPASSWORD is not set"):
        expand_url("postgresql://app:${PGPASSWORD}@db/shop", {}, Secrets())


@pytest.mark.parametrize("name", ["", "A-B", "1", "A:-default", "$"])
def test_what_is_no_name_of_a_variable_is_refused(name):
    with pytest.raises(ConfigurationError, match="the name of an environment variable"):
        expand_url(f"redis://{'$'}{{{name}}}@host", {name: "value"}, Secrets())


@pytest.mark.parametrize("user_info", [":hunter2", "app:hunter2", "app:hunter2${P}"])
def test_a_password_in_the_file_itself_is_refused_and_not_shown(user_info):
    with pytest.raises(ConfigurationError, match="holds a password") as refused:
        expand_url(f"redis://{user_info}@host", {"P": "secret"}, Secrets())

    assert "hunter2" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hun/ter2@db/shop",
        "postgresql://app@db/shop?password=hunter2",
        "postgresql://app:${P}@db/shop?sslpassword=hunter2",
        "redis://cache:6379/0?password=hunter2",
        "redis://:hunt/er2@cache",
        "https://host/{key}?api_key=hunter2",
        "https://host/{key}?a=1&access-token=hunter2&b=2",
        "https://app:hunter2@host/{key}",
        "https://host/{key}?secret=${P}hunter2",
    ],
)
def test_a_password_is_found_wherever_a_url_may_hold_one(url):
    with pytest.raises(ConfigurationError, match="holds a password") as refused:
        expand_url(url, {"P": "secret"}, Secrets())

    assert "hun" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://host:8080/@scope/{key}",
        "https://host/tokens/{key}?page=2&token={key}",
        "https://host/{key}?api_key=${P}",
        "postgresql://app@db/shop?ssl=require",
        "sqlite:///tables@home.db",
    ],
)
def test_what_only_looks_like_a_password_is_none(url):
    assert expand_url(url, {"P": "secret"}, Secrets()) == url.replace("${P}", "secret")


def knows(**variables: str) -> Secrets:
    secrets = Secrets()
    for name, value in variables.items():
        secrets.take(name, value)
    return secrets


any_word = st.text(string.ascii_letters, min_size=8)
any_secret = st.text(st.characters(exclude_categories=["Cs"]), min_size=8)


@example("one ' two \"", repr)
@given(
    any_secret,
    st.sampled_from([str, quote, quote_plus, repr, json.dumps, lambda text: quote(text, safe="/@")]),
)
def test_a_value_is_hidden_however_it_is_written(value, written):
    said = written(value)
    said = said[1:-1] if written in {repr, json.dumps} else said
    assert knows(PIN=value).hidden(f"<{said}>") == "<${PIN}>"


@given(
    st.text(string.ascii_letters, min_size=8), st.data(), st.sampled_from(["", "...", "…", "... and so on"])
)
def test_a_value_that_was_cut_off_is_hidden(value, data, rest):
    length = data.draw(st.integers(4, len(value)))
    assert knows(PIN=value).hidden(f"no answer from <{value[:length]}{rest}") == (
        f"no answer from <${{PIN}}{rest}"
    )


def test_a_short_value_is_hidden_as_a_word_and_not_within_others():
    secrets = knows(PORT="80", USER="app", EMPTY="")
    shown = secrets.hidden("app at host:80 said 8080: the application has 80 rows of 'app'")
    assert shown == "${USER} at host:${PORT} said 8080: the application has ${PORT} rows of '${USER}'"


def test_one_value_within_another_and_a_name_like_a_value_stay_apart():
    secrets = knows(PIN="abcdefgh", LONG_PIN="xx_abcdefgh_yy", MORE="PIN")
    assert secrets.hidden("xx_abcdefgh_yy abcdefgh") == "${LONG_PIN} ${PIN}"


def test_the_errors_behind_an_error_are_hidden_as_well():
    secrets = knows(PIN="abcdefgh")
    cause = OSError(5, "no abcdefgh")
    error = ConfigurationError("url", "not abcdefgh")
    error.__cause__, cause.__context__ = cause, error
    secrets.hide_in(error)
    assert (str(error), error.args, cause.args) == (
        "url: not ${PIN}",
        ("url", "not ${PIN}"),
        (5, "no ${PIN}"),
    )
